"""PyTorch's SGD, AdamW and OneCycleLR over 20 steps on given weights and gradients: the numbers ours must equal.

    python optimizer.py INPUT.safetensors OUTPUT.safetensors

INPUT holds `weight` [4, 3], `bias` [4] and `gradients.K.{weight,bias}` for K = 0 to 19. Decay is for the weight alone, as ours.
"""
import sys

import torch
from safetensors.torch import load_file, save_file

given = load_file(sys.argv[1])
rules = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
    "nesterov": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "adamw": lambda p: torch.optim.AdamW([{"params": p[:1], "weight_decay": 0.05}, {"params": p[1:], "weight_decay": 0.0}], lr=0.01),
}
result = {}
for name, rule in rules.items():
    weights = [torch.nn.Parameter(given[key].clone()) for key in ("weight", "bias")]
    update = rule(weights)
    for step in range(20):
        for key, weight in zip(("weight", "bias"), weights):
            weight.grad = given[f"gradients.{step}.{key}"].clone()
        update.step()
    result |= {f"{name}.weight": weights[0].detach(), f"{name}.bias": weights[1].detach()}

update = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
cycle = torch.optim.lr_scheduler.OneCycleLR(update, max_lr=0.3, total_steps=50, pct_start=0.25, div_factor=25, final_div_factor=400,
                                            cycle_momentum=False)
rates = []
for step in range(50):
    rates.append(update.param_groups[0]["lr"])
    update.step()
    if step < 49:
        cycle.step()
result["one_cycle"] = torch.tensor(rates, dtype=torch.float64)
save_file(result, sys.argv[2])
