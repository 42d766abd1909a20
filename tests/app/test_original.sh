#!/bin/sh
# Fusers that train writes as .pt, opened by the Python original's own loader and run by it, where
# both are there: the same tokens, greedily, as `c2c run` writes.
# usage: PYTHON=python3 PYTHONPATH=CHECKOUT_OF_C2C tests/app/test_original.sh BUILD
. tests/support/python_test.sh
python_test_begin "$1" test_original_answers_alike_with_what_train_writes \
    'torch, transformers, rosetta.utils.evaluate' \
    'PyTorch, transformers and rosetta (the original) to load fusers with'
cat >"$folder/check.py" <<'PYTHON'
import json, os, subprocess, sys
import torch, transformers
import rosetta.model.ablation_projector  # its loader knows this class once it is imported
from rosetta.utils import evaluate

c2c, folder = sys.argv[1:]
pair = {"base_model": "share/demo/receiver", "teacher_model": "share/demo/sharer"}
projectors = {
    "C2CProjector": {"hidden_dim": 48, "intermediate_dim": 64, "num_layers": 3,
                     "anneal_steps": 20, "zero_init": False},
    "AblationProjector": {"hidden_dim": 48, "intermediate_dim": 64, "ablation_level": 3},
    "AllInOneProjector": {"hidden_dim": 48, "num_layers": 3, "use_swiglu": True,
                          "use_concat": True, "weight_granularity": "head_merged",
                          "weight_depends_on_input": True, "scalar_temperature": 1.0,
                          "weight_input_features": "target_projected_key",
                          "preserve_target_weight": False, "anneal_steps": 20},
}
# The loader asks for bf16; the comparison is in f32.
load = transformers.AutoModelForCausalLM.from_pretrained
transformers.AutoModelForCausalLM.from_pretrained = evaluate.AutoModelForCausalLM.from_pretrained \
    = lambda path, **options: load(path, torch_dtype=torch.float32)
with open("share/demo/eval.jsonl") as file:
    chats = [json.loads(line)["messages"] for line in list(file)[::40]]
with open("share/demo/train.jsonl") as source, open(f"{folder}/rows.jsonl", "w") as rows:
    rows.writelines(line for _, line in zip(range(64), source))


def train(kind):
    recipe = {"model": {**pair, "mapping": "last_aligned",
                        "projector": {"type": kind, "params": projectors[kind]}},
              "training": {"learning_rate": 0.01, "max_steps": 20, "warmup_ratio": 0,
                           "per_device_train_batch_size": 8},
              "output": {"output_dir": f"{folder}/{kind}", "save_format": "pt", "save_steps": 0},
              "data": {"type": "MessagesDataset", "train_ratio": 1,
                       "kwargs": {"data_path": f"{folder}/rows.jsonl"}}}
    with open(f"{folder}/recipe.json", "w") as file:
        json.dump(recipe, file)
    subprocess.run([c2c, "train", f"{folder}/recipe.json"], check=True, stdout=subprocess.DEVNULL)


def ours(chat, *fuser):
    with open(f"{folder}/chat.json", "w") as file:
        json.dump(chat, file)
    done = subprocess.run([c2c, "run", "--receiver", pair["base_model"], *fuser, "--messages",
                           f"{folder}/chat.json", "-n", "12", "--dtype", "f32", "--json"],
                          check=True, stdout=subprocess.PIPE)
    return json.loads(done.stdout)["ids"]


def theirs(model, tokenizer, chat):
    text = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True,
                                         enable_thinking=False)
    ids = tokenizer(text, add_special_tokens=False, return_tensors="pt").input_ids
    count = ids.shape[1]
    sections = [torch.tensor([mask, 0]).repeat(length, 1).unsqueeze(0)
                for mask, length in ((1, count - 1), (-1, 1))]
    # Where no other pad token is named it writes one over the eos that ends the answer.
    eos = model.model_list[0].generation_config.eos_token_id
    written = model.generate(sections, ids, attention_mask=torch.ones_like(ids), max_new_tokens=12,
                             position_ids=torch.arange(count).unsqueeze(0), pad_token_id=eos)
    return written[0, count:].tolist()


changed = 0
for kind in projectors:
    train(kind)
    fuser = f"{folder}/{kind}/final"
    assert any(name.endswith(".pt") for name in os.listdir(fuser))
    model, tokenizer = evaluate.load_rosetta_model(
        {"rosetta_config": {**pair, "checkpoints_dir": fuser}}, {}, torch.device("cpu"))
    for chat in chats:
        mine = ours(chat, "--sharer", pair["teacher_model"], "--fuser", fuser)
        found = theirs(model, tokenizer, chat)
        assert mine == found, (kind, chat, mine, found)
        changed += mine != ours(chat)
assert changed > 0, "the fusers change no answer"
print(f"{len(projectors)} fusers, {len(chats)} answers each, {changed} of them not the receiver's")
PYTHON
python_test_end
