//! What other tools call the tensors of a DenseNet, in torchvision's words.

/// The backbone's modules, as torchvision names them below `features`.
const MODULES: [&str; 5] = ["conv0.", "norm0.", "denseblock", "transition", "norm5."];

/// torchvision's name of a tensor, from its name behind all that wraps the network.
///
/// Undone are: a backbone saved by itself, without `features.`; torchvision's names before 0.3 (`norm.1` for `norm1`);
/// MONAI's (`denselayer1.layers.norm1`, `class_layers.out`).
pub(super) fn torchvision(name: &str) -> String {
    if let Some(rest) = name.strip_prefix("class_layers.out.") {
        return format!("classifier.{rest}");
    }
    let backbone =
        name.strip_prefix("features.").or_else(|| MODULES.iter().any(|m| name.starts_with(m)).then_some(name));
    let Some(backbone) = backbone else { return name.to_owned() };
    let mut parts: Vec<&str> = backbone.split('.').collect();
    if let Some(layer) = parts.iter().position(|part| part.starts_with("denselayer")) {
        if parts.get(layer + 1) == Some(&"layers") {
            parts.remove(layer + 1);
        }
        if let [kind @ ("norm" | "conv" | "relu"), number @ ("1" | "2"), ..] = parts[layer + 1..] {
            let joined = format!("{kind}{number}");
            parts.splice(layer + 1..layer + 3, [joined.as_str()]);
            return format!("features.{}", parts.join("."));
        }
    }
    format!("features.{}", parts.join("."))
}

#[cfg(test)]
mod tests {
    use super::torchvision;

    #[test]
    fn names_of_other_tools_become_torchvisions() {
        for (name, expected) in [
            ("features.norm5.bias", "features.norm5.bias"),
            ("classifier.weight", "classifier.weight"),
            ("classifier.0.bias", "classifier.0.bias"),
            // torchvision before 0.3.
            (
                "features.denseblock1.denselayer2.norm.1.running_mean",
                "features.denseblock1.denselayer2.norm1.running_mean",
            ),
            ("features.denseblock4.denselayer16.conv.2.weight", "features.denseblock4.denselayer16.conv2.weight"),
            // A backbone by itself.
            ("transition1.norm.weight", "features.transition1.norm.weight"),
            ("norm5.weight", "features.norm5.weight"),
            // MONAI.
            ("features.denseblock1.denselayer1.layers.conv1.weight", "features.denseblock1.denselayer1.conv1.weight"),
            ("class_layers.out.bias", "classifier.bias"),
            // Not of this network.
            ("op_threshs", "op_threshs"),
            ("layer1.0.conv1.weight", "layer1.0.conv1.weight"),
        ] {
            assert_eq!(torchvision(name), expected);
        }
    }
}
