import errno

import pytest
import torch

from lingshu_core.errors import DiskFull
from lingshu_core.exhaustion import is_out_of_memory, shortened, telling_full_disk

CUDA = (
    "CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 79.10 GiB of which 12.38 GiB is "
    "free. Including non-PyTorch memory, this process has 66.71 GiB memory in use. Of the allocated memory …"
)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (torch.OutOfMemoryError(CUDA), "CUDA out of memory. Tried to allocate 20.00 GiB"),
        (MemoryError("Unable to allocate 8.00 EiB for an array"), "Unable to allocate 8.00 EiB for an array"),
        (MemoryError(), "out of memory"),
    ],
)
def test_a_lack_of_memory_is_told_in_a_few_words(error: RuntimeError | MemoryError, said: str) -> None:
    assert is_out_of_memory(error)
    assert shortened(error) == said


def test_torch_says_what_it_could_not_allocate() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 50)
    assert is_out_of_memory(caught.value)
    assert shortened(caught.value) == f"can't allocate memory: you tried to allocate {4 << 50} bytes"


@pytest.mark.parametrize("error", [RuntimeError("CUDA error: an illegal memory access"), ValueError("out of memory")])
def test_other_errors_are_no_lack_of_memory(error: Exception) -> None:
    assert not is_out_of_memory(error)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_told_with_what_is_safe(number: int) -> None:
    says = r"out: no space is left for the table\. The cells are safe: free some space"
    with pytest.raises(DiskFull, match=says), telling_full_disk("out", "the table", "The cells are safe"):
        raise OSError(number, "full")


def test_other_errors_of_a_disk_pass() -> None:
    with pytest.raises(PermissionError), telling_full_disk("out", "the table", "All is safe"):
        raise PermissionError(errno.EACCES, "denied")
