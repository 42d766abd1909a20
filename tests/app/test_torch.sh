#!/bin/sh
# Files that convert writes, read by PyTorch where there is one (PYTHON=python3): the same tensors,
# rounded as PyTorch rounds, from the same pickle that torch.save writes.
# usage: tests/app/test_torch.sh BUILD
. tests/support/python_test.sh
python_test_begin "$1" test_torch_loads_what_convert_writes torch PyTorch
cat >"$folder/check.py" <<'PYTHON'
import collections, subprocess, sys, zipfile
import torch

c2c, folder = sys.argv[1:]


def convert(*arguments):
    subprocess.run([c2c, "convert", *arguments], check=True, stdout=subprocess.DEVNULL)


def same(path, expected, dtype):
    found = torch.load(path, weights_only=True)
    assert set(found) == set(expected), path
    for name, tensor in expected.items():
        wanted = tensor.to(dtype) if dtype and tensor.dtype.is_floating_point and \
            tensor.dtype != torch.float64 else tensor
        assert found[name].dtype == wanted.dtype, (path, name)
        assert found[name].shape == wanted.shape, (path, name)
        assert torch.equal(found[name], wanted), (path, name)
    return found


types = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16, "keep": None}
for option, dtype in types.items():
    convert("share/demo/fuser", f"{folder}/st_{option}", "--dtype", option)
    convert(f"{folder}/st_{option}", f"{folder}/{option}", "--format", "pt")
    for i in range(4):
        path = f"final/projector_{i}.pt"
        original = torch.load(f"share/demo/fuser/{path}", map_location="cpu")
        same(f"{folder}/{option}/{path}", original, dtype)

torch.manual_seed(0)
scale = torch.exp(torch.randn(300, 257) * 8)
tensors = collections.OrderedDict(
    x=(torch.randn(300, 257) * scale).clamp(-60000, 60000), zero=torch.tensor(3.14159),
    empty=torch.zeros(3, 0, 2), i64=torch.arange(70000), yes=torch.tensor([True, False]),
    i8=torch.tensor([-1, 2], dtype=torch.int8), u8=torch.tensor([250], dtype=torch.uint8),
    i16=torch.tensor([[1, -2]], dtype=torch.int16), i32=torch.ones(1, 1, 1, 5, dtype=torch.int32),
    f64=torch.randn(2, 2, 2, 2, 2, dtype=torch.float64))
torch.save(tensors, f"{folder}/all.pt")
for option in ("f16", "bf16"):
    convert(f"{folder}/all.pt", f"{folder}/w.safetensors", "--dtype", option, "--force")
    convert(f"{folder}/w.safetensors", f"{folder}/w.pt", "--force")
    found = same(f"{folder}/w.pt", tensors, types[option])
    torch.save(collections.OrderedDict(found), f"{folder}/theirs.pt")
    with zipfile.ZipFile(f"{folder}/w.pt") as ours, zipfile.ZipFile(f"{folder}/theirs.pt") as theirs:
        assert ours.testzip() is None
        pickles = [next(z.read(n) for n in z.namelist() if n.endswith("/data.pkl"))
                   for z in (ours, theirs)]
        assert pickles[0] == pickles[1]
PYTHON
python_test_end
