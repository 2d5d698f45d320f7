"""Opens an exported model in ONNX Runtime and compares its logits with those of the network that wrote it.

usage: onnx_runtime.py MODEL.onnx BATCH.safetensors

BATCH holds films and logits, and films2 and logits2 of another number and size. Prints one JSON object.
"""

import json
import sys

import numpy
import onnx
import onnxruntime
from safetensors.numpy import load_file

path, batch = sys.argv[1:]
model = onnx.load(path)
onnx.checker.check_model(model, full_check=True)
onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
card = json.loads({entry.key: entry.value for entry in model.metadata_props}["humerus"])
assert "not for clinical use" in model.doc_string, model.doc_string
names = {tensor.name for tensor in model.graph.initializer}
assert "features.denseblock1.denselayer1.norm1.running_mean" in names, sorted(names)[:3]
session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
batch = load_file(batch)
off = 0.0
for end in ("", "2"):
    logits, probabilities = session.run(["logits", "probabilities"], {"films": batch["films" + end]})
    expected = batch["logits" + end]
    share = numpy.abs(logits - expected).max() / numpy.abs(expected).max()
    assert share < 1e-4, f"logits are off by {share:.1e} of the largest"
    shares = numpy.exp(expected - expected.max(1, keepdims=True))
    shares /= shares.sum(1, keepdims=True)
    assert numpy.abs(probabilities - shares).max() < 1e-4, "probabilities are not the logits' softmax"
    off = max(off, float(share))
print(json.dumps({"off": off, "nodes": len(model.graph.node), "architecture": card["architecture"]}))
