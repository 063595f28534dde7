"""The report of a screen: one page of HTML that asks for nothing from outside, made of published results alone.

Each module says one part of it: what was asked (`question`), what came of it (`verdict`), the table (`hit_table`), what
speaks for the best (`evidence_cards`), side effects (`side_effects`), the model (`model_standing`), what is missing
(`missing`), where it comes from (`provenance`). `page` puts them together.
"""
