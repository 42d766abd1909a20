#!/usr/bin/env python3
"""The Python original on this CPU: one line of JSON with what bench/peers.sh compares.

usage: PYTHONPATH=CHECKOUT peers_original.py PAIR TOKENS THREADS REPEAT
CHECKOUT: thu-nics/C2C; needs torch, transformers, safetensors. PAIR: made by build/bench/make_pair.
"""
import json
import os
import statistics
import sys
import time

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from rosetta.model.projector import C2CProjector
from rosetta.model.wrapper import RosettaModel


def open_model(path):
    model = AutoModelForCausalLM.from_pretrained(path, torch_dtype=torch.bfloat16)
    return model.eval().requires_grad_(False)


def open_projector(folder, index):
    with open(f"{folder}/projector_{index}.json") as file:
        arguments = json.load(file)["init_args"]
    arguments["dtype"] = torch.bfloat16
    projector = C2CProjector(**arguments)
    # A buffer that only training reads may be missing.
    projector.load_state_dict(load_file(f"{folder}/projector_{index}.safetensors"), strict=False)
    return projector.to(torch.bfloat16).eval()


def open_pair(pair):
    models = [open_model(f"{pair}/receiver"), open_model(f"{pair}/sharer")]
    fuser = f"{pair}/fuser"
    if os.path.exists(f"{fuser}/final"):
        fuser = f"{fuser}/final"
    with open(f"{fuser}/projector_config.json") as file:
        mapped = json.load(file)["0"]["1"]
    projectors = [open_projector(fuser, i) for i in range(len(mapped))]
    fused = RosettaModel(models, 0, projectors, multi_source_fusion_mode="sequential").eval()
    for target, pairs in mapped.items():
        source, index = pairs[0]
        fused.set_projector_config(1, source, 0, int(target), index)
    return models[0], fused


def median_seconds(work, repeat):
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main(pair, tokens, threads, repeat):
    torch.set_num_threads(threads)
    receiver, fused = open_pair(pair)
    prompt = torch.randint(0, 150000, (1, tokens))
    sections = [torch.tensor([1, 0]).repeat(tokens - 1, 1)[None], torch.tensor([[-1, 0]])[None]]

    def answer(length):
        fused.generate(kv_cache_index=sections, input_ids=prompt, max_new_tokens=length,
                       eos_token_id=-1, pad_token_id=0)

    with torch.no_grad():
        answer(1)
        first = median_seconds(lambda: answer(1), repeat)
        nine = median_seconds(lambda: answer(9), repeat)
        alone = median_seconds(lambda: receiver(input_ids=prompt, logits_to_keep=1), repeat)
    print(json.dumps({"fused_ttft_ms": first * 1e3, "decode_tok_s": 8 / max(nine - first, 1e-9),
                      "receiver_prefill_tok_s": tokens / alone}))


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
