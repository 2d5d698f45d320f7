"""What TensorBoard reads from an event file: the standard that crate/tests/tensorboard.rs compares with.

    python events.py FOLDER LABELS PROBABILITIES

FOLDER holds event files; LABELS and PROBABILITIES are comma-separated. Prints one JSON object: {"scalars": {TAG:
[[STEP, VALUE]]}, "images": {TAG: [[STEP, WIDTH, HEIGHT, [PIXELS OF THE FIRST ROW]]]}, "curve": the tensor of the tag
`pr`, "expected": the same counts and shares by scikit-learn}.
"""
import io, json, sys
import numpy as np
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from sklearn.metrics import confusion_matrix, precision_score, recall_score
from tensorboard.plugins.pr_curve.metadata import parse_plugin_metadata
from tensorboard.util import tensor_util

folder, labels, probabilities = sys.argv[1:]
events = EventAccumulator(folder, size_guidance={"tensors": 0, "scalars": 0, "images": 0})
events.Reload()


def picture(event):
    image = Image.open(io.BytesIO(event.encoded_image_string))
    assert image.size == (event.width, event.height)
    return [event.step, *image.size, list(image.convert("L").crop((0, 0, image.width, 1)).tobytes())]


tags = events.Tags()
labels = np.array([v == "1" for v in labels.split(",")])
probabilities = np.array([float(v) for v in probabilities.split(",")])
expected = []
for at in range(201):
    called = probabilities >= at / 200
    tn, fp, fn, tp = confusion_matrix(labels, called, labels=[False, True]).ravel()
    expected.append([tp, fp, tn, fn, precision_score(labels, called, zero_division=0), recall_score(labels, called)])
metadata = events.SummaryMetadata("pr")
assert metadata.plugin_data.plugin_name == "pr_curves", metadata
assert parse_plugin_metadata(metadata.plugin_data.content).num_thresholds == 201
print(json.dumps({
    "scalars": {tag: [[e.step, e.value] for e in events.Scalars(tag)] for tag in tags["scalars"]},
    "images": {tag: [picture(e) for e in events.Images(tag)] for tag in tags["images"]},
    "curve": tensor_util.make_ndarray(events.Tensors("pr")[0].tensor_proto).tolist(),
    "expected": np.array(expected, dtype=np.float32).T.tolist(),
}))
