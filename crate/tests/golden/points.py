"""Which points TensorBoard reads from the event files of several runs.

    python points.py FOLDER...

Prints one JSON object for each folder, in order: {TAG: [STEPS]} over scalars, images and tensors.
"""
import json, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

for folder in sys.argv[1:]:
    events = EventAccumulator(folder, size_guidance={"scalars": 0, "images": 0, "tensors": 0})
    events.Reload()
    tags = events.Tags()
    kinds = [(events.Scalars, tags["scalars"]), (events.Images, tags["images"]), (events.Tensors, tags["tensors"])]
    print(json.dumps({tag: [event.step for event in read(tag)] for read, names in kinds for tag in names}))
