//! Models as ONNX, written directly: no Python, no tracing, the same file for the same weights.
//!
//! The format is that of onnx.proto (<https://onnx.ai>), of which the few messages needed are declared here; its
//! operators are those of operator set 17 in format version 8 (ONNX 1.12, 2022), old enough for every runtime in use
//! and new enough to be optimised by all. Nodes and initialisers carry torchvision's names.

use std::collections::HashMap;
use std::path::Path;

use prost::Message;

use super::file::{CARD_KEY, Model, card_json, require_finite};
use crate::error::Result;
use crate::files::write_atomically;
use crate::network::{Architecture, Head, bytes};

const FORMAT_VERSION: i64 = 8;
const OPERATOR_SET: i64 = 17;
/// `TensorProto.DataType.FLOAT`.
const FLOAT: i32 = 1;

impl Model {
    /// Writes the network as ONNX: input `films`, `[N, 3, H, W]` (or one channel) standardised as the card says;
    /// outputs `logits` and `probabilities`, `[N, classes]`. N, H and W are free. The card is in the metadata under
    /// `humerus`.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io).
    pub fn save_onnx(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        require_finite(&self.classifier, path)?;
        Ok(write_atomically(path, &self.onnx(card_json(&self.card, path)?).encode_to_vec())?)
    }

    fn onnx(&self, card: String) -> ModelProto {
        let Model { classifier, .. } = self;
        let mut graph = Graph { proto: GraphProto::default(), weights: HashMap::new() };
        for variable in classifier.variables() {
            let dims = variable.tensor.size();
            graph.weights.insert(variable.name.clone(), dims.clone());
            let (raw_data, _) = bytes(&variable.tensor);
            graph.proto.initializer.push(TensorProto { dims, data_type: FLOAT, name: variable.name.clone(), raw_data });
        }
        let features = graph.features(classifier.architecture());
        graph.head(classifier.head(), features);
        graph.proto.name = classifier.architecture().name().to_owned();
        let dimension = |value: i64| Dimension { value: Some(DimensionValue::Number(value)) };
        let free = |name: &str| Dimension { value: Some(DimensionValue::Name(name.to_owned())) };
        graph.proto.input =
            vec![value_info("films", vec![free("N"), dimension(classifier.channels()), free("H"), free("W")])];
        let classes = dimension(classifier.head().classes());
        graph.proto.output =
            ["logits", "probabilities"].map(|name| value_info(name, vec![free("N"), classes.clone()])).to_vec();
        ModelProto {
            ir_version: FORMAT_VERSION,
            producer_name: "humerus".to_owned(),
            producer_version: env!("CARGO_PKG_VERSION").to_owned(),
            doc_string: self.card.intended_use.clone(),
            graph: Some(graph.proto),
            opset_import: vec![OperatorSetId { domain: String::new(), version: OPERATOR_SET }],
            metadata_props: vec![StringEntry { key: CARD_KEY.to_owned(), value: card }],
        }
    }
}

/// A graph in the making.
struct Graph {
    proto: GraphProto,
    /// Shapes of the initialisers.
    weights: HashMap<String, Vec<i64>>,
}

impl Graph {
    /// Adds a node whose only output has the node's name, which is returned.
    fn node(&mut self, name: &str, operator: &str, input: Vec<String>, attribute: Vec<Attribute>) -> String {
        self.proto.node.push(Node {
            input,
            output: vec![name.to_owned()],
            name: name.to_owned(),
            op_type: operator.to_owned(),
            attribute,
        });
        name.to_owned()
    }

    fn conv(&mut self, name: &str, input: String, stride: i64) -> String {
        let weight = format!("{name}.weight");
        let side = self.weights[&weight][2];
        let attributes =
            vec![ints("kernel_shape", [side; 2]), ints("strides", [stride; 2]), ints("pads", [side / 2; 4])];
        self.node(name, "Conv", vec![input, weight], attributes)
    }

    /// BatchNorm by stored statistics, and ReLU under the name that our network shows it by.
    fn norm_relu(&mut self, name: &str, relu: &str, input: String) -> String {
        let weights = ["weight", "bias", "running_mean", "running_var"].map(|part| format!("{name}.{part}"));
        let inputs = [input].into_iter().chain(weights).collect();
        let normed = self.node(name, "BatchNormalization", inputs, vec![float("epsilon", 1e-5)]);
        self.node(relu, "Relu", vec![normed], vec![])
    }

    /// The last feature map after its ReLU.
    fn features(&mut self, architecture: Architecture) -> String {
        let stem = self.conv("features.conv0", "films".to_owned(), 2);
        let stem = self.norm_relu("features.norm0", "features.relu0", stem);
        let window = |side: i64, pad: i64| {
            vec![ints("kernel_shape", [side; 2]), ints("strides", [2; 2]), ints("pads", [pad; 4])]
        };
        let mut xs = self.node("features.pool0", "MaxPool", vec![stem], window(3, 1));
        let blocks = architecture.blocks();
        for (block, layers) in (1..).zip(blocks) {
            let name = format!("features.denseblock{block}");
            let mut outputs = vec![xs];
            for layer in 1..=layers {
                let layer = format!("{name}.denselayer{layer}");
                let read = self.concat(&format!("{layer}.concat"), &outputs);
                let ys = self.norm_relu(&format!("{layer}.norm1"), &format!("{layer}.relu1"), read);
                let ys = self.conv(&format!("{layer}.conv1"), ys, 1);
                let ys = self.norm_relu(&format!("{layer}.norm2"), &format!("{layer}.relu2"), ys);
                outputs.push(self.conv(&format!("{layer}.conv2"), ys, 1));
            }
            xs = self.concat(&name, &outputs);
            if block < blocks.len() {
                let name = format!("features.transition{block}");
                let ys = self.norm_relu(&format!("{name}.norm"), &format!("{name}.relu"), xs);
                let ys = self.conv(&format!("{name}.conv"), ys, 1);
                xs = self.node(&format!("{name}.pool"), "AveragePool", vec![ys], window(2, 0));
            }
        }
        self.norm_relu("features.norm5", "features.relu5", xs)
    }

    fn concat(&mut self, name: &str, inputs: &[String]) -> String {
        match inputs {
            [only] => only.clone(),
            _ => self.node(name, "Concat", inputs.to_vec(), vec![int("axis", 1)]),
        }
    }

    fn head(&mut self, head: Head, features: String) {
        let (pooling, layers) = match head {
            Head::Linear { .. } => ("GlobalAveragePool", vec!["classifier"]),
            Head::Reference { .. } => {
                ("GlobalMaxPool", vec!["classifier.0", "classifier.2", "classifier.4", "classifier.6"])
            }
        };
        let pooled = self.node("pooled.map", pooling, vec![features], vec![]);
        let mut xs = self.node("pooled", "Flatten", vec![pooled], vec![int("axis", 1)]);
        for (at, layer) in layers.iter().enumerate() {
            let last = at + 1 == layers.len();
            let inputs = vec![xs, format!("{layer}.weight"), format!("{layer}.bias")];
            xs = self.node(if last { "logits" } else { layer }, "Gemm", inputs, vec![int("transB", 1)]);
            if !last {
                xs = self.node(&format!("{layer}.relu"), "Relu", vec![xs], vec![]);
            }
        }
        self.node("probabilities", "Softmax", vec![xs], vec![int("axis", 1)]);
    }
}

fn value_info(name: &str, dim: Vec<Dimension>) -> ValueInfo {
    let tensor_type = Some(TensorType { elem_type: FLOAT, shape: Some(TensorShape { dim }) });
    ValueInfo { name: name.to_owned(), r#type: Some(Type { tensor_type }) }
}

/// `AttributeProto.AttributeType`.
const TYPE_FLOAT: i32 = 1;
const TYPE_INT: i32 = 2;
const TYPE_INTS: i32 = 7;

fn float(name: &str, f: f32) -> Attribute {
    Attribute { name: name.to_owned(), f: Some(f), r#type: TYPE_FLOAT, ..Attribute::default() }
}

fn int(name: &str, i: i64) -> Attribute {
    Attribute { name: name.to_owned(), i: Some(i), r#type: TYPE_INT, ..Attribute::default() }
}

fn ints(name: &str, values: impl Into<Vec<i64>>) -> Attribute {
    Attribute { name: name.to_owned(), ints: values.into(), r#type: TYPE_INTS, ..Attribute::default() }
}

#[derive(Clone, PartialEq, Message)]
struct ModelProto {
    #[prost(int64, tag = "1")]
    ir_version: i64,
    #[prost(string, tag = "2")]
    producer_name: String,
    #[prost(string, tag = "3")]
    producer_version: String,
    #[prost(string, tag = "6")]
    doc_string: String,
    #[prost(message, tag = "7")]
    graph: Option<GraphProto>,
    #[prost(message, repeated, tag = "8")]
    opset_import: Vec<OperatorSetId>,
    #[prost(message, repeated, tag = "14")]
    metadata_props: Vec<StringEntry>,
}

#[derive(Clone, PartialEq, Message)]
struct OperatorSetId {
    #[prost(string, tag = "1")]
    domain: String,
    #[prost(int64, tag = "2")]
    version: i64,
}

#[derive(Clone, PartialEq, Message)]
struct StringEntry {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, PartialEq, Message)]
struct GraphProto {
    #[prost(message, repeated, tag = "1")]
    node: Vec<Node>,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(message, repeated, tag = "5")]
    initializer: Vec<TensorProto>,
    #[prost(message, repeated, tag = "11")]
    input: Vec<ValueInfo>,
    #[prost(message, repeated, tag = "12")]
    output: Vec<ValueInfo>,
}

#[derive(Clone, PartialEq, Message)]
struct Node {
    #[prost(string, repeated, tag = "1")]
    input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    output: Vec<String>,
    #[prost(string, tag = "3")]
    name: String,
    #[prost(string, tag = "4")]
    op_type: String,
    #[prost(message, repeated, tag = "5")]
    attribute: Vec<Attribute>,
}

#[derive(Clone, PartialEq, Message)]
struct Attribute {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(float, optional, tag = "2")]
    f: Option<f32>,
    #[prost(int64, optional, tag = "3")]
    i: Option<i64>,
    #[prost(int64, repeated, packed = "false", tag = "8")]
    ints: Vec<i64>,
    #[prost(int32, tag = "20")]
    r#type: i32,
}

#[derive(Clone, PartialEq, Message)]
struct TensorProto {
    #[prost(int64, repeated, packed = "false", tag = "1")]
    dims: Vec<i64>,
    #[prost(int32, tag = "2")]
    data_type: i32,
    #[prost(string, tag = "8")]
    name: String,
    /// Little endian, row-major.
    #[prost(bytes = "vec", tag = "9")]
    raw_data: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct ValueInfo {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, tag = "2")]
    r#type: Option<Type>,
}

#[derive(Clone, PartialEq, Message)]
struct Type {
    #[prost(message, tag = "1")]
    tensor_type: Option<TensorType>,
}

#[derive(Clone, PartialEq, Message)]
struct TensorType {
    #[prost(int32, tag = "1")]
    elem_type: i32,
    #[prost(message, tag = "2")]
    shape: Option<TensorShape>,
}

#[derive(Clone, PartialEq, Message)]
struct TensorShape {
    #[prost(message, repeated, tag = "1")]
    dim: Vec<Dimension>,
}

#[derive(Clone, PartialEq, Message)]
struct Dimension {
    #[prost(oneof = "DimensionValue", tags = "1, 2")]
    value: Option<DimensionValue>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum DimensionValue {
    #[prost(int64, tag = "1")]
    Number(i64),
    #[prost(string, tag = "2")]
    Name(String),
}
