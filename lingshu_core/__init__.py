"""The model room: tokens, diffusion, denoiser, sampler, estimator, training, checkpoints, and a simulator.

Nothing here knows of clusters, campaigns or YAML.
"""
