"""PyTorch's optimisers, clipping, averaging and schedules over 20 steps on given weights and gradients: the numbers
ours must equal.

    python optimizer.py INPUT.safetensors OUTPUT.safetensors

INPUT holds `weight` [4, 3], `bias` [4] and `gradients.K.{weight,bias}` for K = 0 to 39; each step takes one,
the accumulating case two. Decay is for the weight alone, as ours.
"""

import math
import sys

import torch
from safetensors.torch import load_file, save_file

given = load_file(sys.argv[1])
rules = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
    "nesterov": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "adamw": lambda p: torch.optim.AdamW(
        [{"params": p[:1], "weight_decay": 0.05}, {"params": p[1:], "weight_decay": 0.0}], lr=0.01
    ),
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

# Clipping, accumulation and a moving average as a PyTorch user writes them; the average starts as the initial weights,
# as timm's does.
average_of = torch.optim.swa_utils.get_ema_multi_avg_fn(0.9)
for name, accumulate, most in (("clip", 1, 1.0), ("accumulate", 2, None), ("both", 2, 0.5)):
    weights = [torch.nn.Parameter(given[key].clone()) for key in ("weight", "bias")]
    averages = [weight.detach().clone() for weight in weights]
    update = rules["adamw"](weights)
    norms = []
    for step in range(20):
        update.zero_grad()
        for part in range(accumulate):
            loss = sum(
                (given[f"gradients.{step * accumulate + part}.{key}"] * weight).sum()
                for key, weight in zip(("weight", "bias"), weights)
            )
            (loss / accumulate).backward()
        if most is not None:
            norms.append(torch.nn.utils.clip_grad_norm_(weights, most))
        update.step()
        average_of(averages, [weight.detach() for weight in weights], None)
    result |= {f"{name}.weight": weights[0].detach(), f"{name}.bias": weights[1].detach()}
    result |= {f"{name}.average.weight": averages[0], f"{name}.average.bias": averages[1]}
    if norms:
        result[f"{name}.norms"] = torch.stack(norms)


def cosine(step, total=50, rise=12):
    """Transformers' get_cosine_schedule_with_warmup, half a cycle."""
    if step < rise:
        return step / max(1, rise)
    return max(0.0, 0.5 * (1.0 + math.cos(math.pi * (step - rise) / max(1, total - rise))))


update = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.3)
schedule = torch.optim.lr_scheduler.LambdaLR(update, cosine)
rates = []
for step in range(50):
    rates.append(update.param_groups[0]["lr"])
    update.step()
    schedule.step()
result["cosine"] = torch.tensor(rates, dtype=torch.float64)

update = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
cycle = torch.optim.lr_scheduler.OneCycleLR(
    update, max_lr=0.3, total_steps=50, pct_start=0.25, div_factor=25, final_div_factor=400, cycle_momentum=False
)
rates = []
for step in range(50):
    rates.append(update.param_groups[0]["lr"])
    update.step()
    if step < 49:
        cycle.step()
result["one_cycle"] = torch.tensor(rates, dtype=torch.float64)
save_file(result, sys.argv[2])
