//! The figures' colours; those of data can be told apart by colour-blind readers (Okabe and Ito, 2008).

use plotters::style::RGBColor;

/// Letters and what is pointed out.
pub const INK: RGBColor = RGBColor(33, 37, 41);
/// Letters of lesser weight.
pub const MUTED: RGBColor = RGBColor(92, 99, 106);
/// Axes, chance, and frames that mean nothing.
pub const AXIS: RGBColor = RGBColor(134, 142, 150);
/// Lines of a grid.
pub const GRID: RGBColor = RGBColor(229, 232, 235);
/// Around a film that does not fill its square.
pub const MOUNT: RGBColor = RGBColor(241, 243, 245);

/// Normal studies; the training split; the first of several.
pub const BLUE: RGBColor = RGBColor(0, 114, 178);
/// Abnormal studies; the tuning split; the second of several.
pub const VERMILLION: RGBColor = RGBColor(213, 94, 0);
/// What is right; the third of several.
pub const GREEN: RGBColor = RGBColor(0, 158, 115);
/// What is wrong; the fourth of several.
pub const PURPLE: RGBColor = RGBColor(204, 121, 167);
