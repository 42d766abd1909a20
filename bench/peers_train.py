#!/usr/bin/env python3
"""A training step of the Python original on the CPU: one row of 128 + 128 tokens, f32, AdamW and clipping as its trainer does.
usage: PYTHONPATH=<checkout of thu-nics/C2C> peers_train.py PAIR [THREADS [STEPS]]; PAIR holds receiver, sharer and fuser of the sizes that
bench_train uses. Needs torch, transformers 4.52, safetensors. Prints one JSON object: seconds a step (median, the first one aside), tokens/s, GiB."""
import json
import resource
import statistics
import sys
import time

import torch
from rosetta.model.projector import C2CProjector
from rosetta.model.wrapper import RosettaModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

HALF = 128
pair, threads = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 2
steps = int(sys.argv[3]) if len(sys.argv) > 3 else 3
torch.set_num_threads(threads)
torch.manual_seed(1)


def model(name):
    m = AutoModelForCausalLM.from_pretrained(f"{pair}/{name}", torch_dtype=torch.float32, attn_implementation="sdpa")
    return m.eval().requires_grad_(False)


def projector(i, r, s):
    dim = lambda c: getattr(c, "head_dim", None) or c.hidden_size // c.num_attention_heads
    p = C2CProjector(dim(s), dim(r), s.num_key_value_heads, r.num_key_value_heads, hidden_dim=1024, intermediate_dim=1024,
                     num_layers=3, dtype=torch.float32)
    p.load_state_dict(load_file(f"{pair}/fuser/final/projector_{i}.safetensors"))
    return p.to(torch.float32)


receiver, sharer = model("receiver"), model("sharer")
layers, shared = receiver.config.num_hidden_layers, sharer.config.num_hidden_layers
projectors = [projector(i, receiver.config, sharer.config) for i in range(layers)]
network = RosettaModel([receiver, sharer], 0, projectors, multi_source_fusion_mode="sequential").train()
for t in range(layers):  # last_aligned
    network.set_projector_config(1, max(0, t - (layers - shared)), 0, t, t)
optimizer = torch.optim.AdamW(network.projector_list.parameters(), lr=1e-4)
ids = torch.randint(0, 150000, (1, 2 * HALF))
labels = ids.clone()
labels[:, :HALF] = -100
sections = [torch.tensor([1, 0]).repeat(HALF - 1, 1)[None], torch.tensor([-1, 0]).repeat(HALF + 1, 1)[None]]


def step():
    started = time.perf_counter()
    out = network.forward(kv_cache_index=sections, input_ids=ids, attention_mask=torch.ones_like(ids),
                          position_ids=torch.arange(2 * HALF)[None], labels=labels, use_cache=True)
    out.loss.backward()
    torch.nn.utils.clip_grad_norm_(network.projector_list.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()
    return time.perf_counter() - started


step()
seconds = statistics.median(step() for _ in range(steps))
print(json.dumps({"seconds": round(seconds, 3), "tokens_per_second": round(2 * HALF / seconds, 1),
                  "gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2)}))
