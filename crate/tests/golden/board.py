"""What TensorBoard reads from a run's event files.

    python board.py FOLDER

Prints one JSON object: {"scalars": {TAG: [[STEP, VALUE]]}, "images": [TAG], "tensors": [TAG]}.
"""
import json, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

events = EventAccumulator(sys.argv[1], size_guidance={"scalars": 0})
events.Reload()
tags = events.Tags()
print(json.dumps({
    "scalars": {tag: [[e.step, e.value] for e in events.Scalars(tag)] for tag in tags["scalars"]},
    "images": tags["images"],
    "tensors": tags["tensors"],
}))
