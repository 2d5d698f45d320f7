//! What other tools call the tensors of a DenseNet, in torchvision's words.

/// The backbone's modules, as torchvision names them below `features`.
const MODULES: [&str; 5] = ["conv0.", "norm0.", "denseblock", "transition", "norm5."];

/// torchvision's names of a file's tensors, in their order.
///
/// Undone are: wrappers (`module.` of `DataParallel`, `model.` of Lightning, `module.densenet121.` of CheXNet, whatever else stands before
/// the first convolution); a backbone saved by itself, without `features.`; torchvision's names before 0.3 (`norm.1` for `norm1`);
/// MONAI's (`denselayer1.layers.norm1`, `class_layers.out`).
pub(super) fn torchvision(names: &[&str]) -> Vec<String> {
    let wrapper = wrapper(names);
    names
        .iter()
        .map(|name| match name.strip_prefix(&wrapper) {
            Some(rest) => modern(rest),
            None => (*name).to_owned(),
        })
        .collect()
}

/// What stands before the network's own names.
fn wrapper(names: &[&str]) -> String {
    let first = |end: &str| names.iter().filter_map(|name| name.strip_suffix(end)).min_by_key(|prefix| prefix.len());
    first("features.conv0.weight").or_else(|| first("conv0.weight")).unwrap_or_default().to_owned()
}

fn modern(name: &str) -> String {
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
        for (conv0, name, expected) in [
            ("features.conv0.weight", "features.norm5.bias", "features.norm5.bias"),
            ("features.conv0.weight", "classifier.weight", "classifier.weight"),
            // torchvision before 0.3.
            (
                "features.conv0.weight",
                "features.denseblock1.denselayer2.norm.1.running_mean",
                "features.denseblock1.denselayer2.norm1.running_mean",
            ),
            // CheXNet.
            (
                "module.densenet121.features.conv0.weight",
                "module.densenet121.features.denseblock4.denselayer16.conv.2.weight",
                "features.denseblock4.denselayer16.conv2.weight",
            ),
            ("module.densenet121.features.conv0.weight", "module.densenet121.classifier.0.bias", "classifier.0.bias"),
            // A backbone by itself, alone and in a wrapper.
            ("conv0.weight", "transition1.norm.weight", "features.transition1.norm.weight"),
            ("backbone.conv0.weight", "backbone.norm5.weight", "features.norm5.weight"),
            // MONAI.
            (
                "features.conv0.weight",
                "features.denseblock1.denselayer1.layers.conv1.weight",
                "features.denseblock1.denselayer1.conv1.weight",
            ),
            ("features.conv0.weight", "class_layers.out.bias", "classifier.bias"),
            // Not of this network.
            ("features.conv0.weight", "op_threshs", "op_threshs"),
            ("module.features.conv0.weight", "teacher.features.norm5.bias", "teacher.features.norm5.bias"),
        ] {
            assert_eq!(torchvision(&[name, conv0])[0], expected, "{name}");
        }
        assert_eq!(torchvision(&["layer1.0.conv1.weight"]), ["layer1.0.conv1.weight"]);
        assert!(torchvision(&[]).is_empty());
    }
}
