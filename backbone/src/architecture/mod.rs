//! The architectures: each file writes one family down as its paper's table and registers it here.
//!
//! A backbone's name is the family, the width and, where not all of the shortcut is carried, the
//! divisor of the identity tensor: `mobilenet-v2-1.0`, `mobilenext-1.0-id2`; with weights of eight bits `-int8`
//! follows. The widths and divisors of the papers are listed; any other can be asked for by name.

use std::fmt;
use std::str::FromStr;

use crate::error::Error;
use crate::network::{Activation, Kind, Network, NetworkBuilder, Value};

mod classic;
mod mobilenet_v1;
mod mobilenet_v2;
mod mobilenext;

/// Every family that can be asked for, by name.
pub const FAMILIES: &[&Family] =
    &[&mobilenext::FAMILY, &mobilenet_v2::FAMILY, &mobilenet_v1::FAMILY, &classic::FAMILY];

/// What a backbone's name ends with where its weights are of eight bits.
const INT8: &str = "-int8";

/// A family of networks: one architecture at several widths.
#[derive(Debug)]
pub struct Family {
    /// As in a backbone's name: `mobilenext`.
    pub name: &'static str,
    /// As in a text: `MobileNeXt`.
    pub title: &'static str,
    /// The paper.
    pub paper: &'static str,
    /// The widths of the paper, in hundredths; others can be asked for.
    pub widths: &'static [u32],
    /// By what the paper divides the channels of the shortcut; 1 is the whole. Where there is more than that, others
    /// can be asked for.
    pub identity_divisors: &'static [u32],
    /// What the authors measured, by name of the backbone.
    pub published: &'static [(&'static str, Published)],
    /// Writes the layers from the stem to the last map of stride 32.
    features: fn(&mut NetworkBuilder, &Backbone) -> Features,
    /// Writes one further block that halves the map, for a detector: (builder, input, name, hidden, out).
    extra: fn(&mut NetworkBuilder, Value, &str, usize, usize) -> Value,
    /// Hidden and output channels of the four extra blocks.
    extras: [(usize, usize); 4],
}

/// What a paper says of its network.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Published {
    /// Top-1 accuracy of the classifier on ImageNet, in percent.
    pub top1: f32,
    /// Milliseconds of the classifier for one picture of 224×224 on a Pixel 4, under PyTorch.
    pub pixel4: Option<f32>,
}

impl Published {
    /// An accuracy without a time.
    const fn top1(top1: f32) -> Self {
        Self { top1, pixel4: None }
    }

    const fn timed(top1: f32, pixel4: f32) -> Self {
        Self { top1, pixel4: Some(pixel4) }
    }
}

/// The maps of a backbone that others build on.
struct Features {
    /// Where a detector reads: the maps of stride 16 and 32.
    taps: [Value; 2],
    /// The last map.
    last: Value,
}

/// One network of a family. Parsed from and printed as its name.
#[derive(Clone, Debug)]
pub struct Backbone {
    family: &'static Family,
    /// In hundredths.
    width: u32,
    identity_divisor: u32,
    int8: bool,
}

impl PartialEq for Backbone {
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}

impl Eq for Backbone {}

impl Backbone {
    /// A network of the family of that name; none where there is no such family, the width is not between 0.1 and 4
    /// or finer than hundredths, or the shortcut cannot be divided so: by 1 to 64, and by 1 alone where the paper
    /// knows no identity multiplier.
    #[must_use]
    pub fn new(family: &str, width: f64, identity_divisor: u32) -> Option<Self> {
        let family = *FAMILIES.iter().find(|f| f.name == family)?;
        let hundredths = (width * 100.0).round();
        let divisors = if family.identity_divisors.len() > 1 { 1..=64 } else { 1..=1 };
        let fine = (10.0..=400.0).contains(&hundredths) && (hundredths / 100.0 - width).abs() < 1e-9;
        let width = hundredths as u32;
        (fine && divisors.contains(&identity_divisor)).then_some(Self {
            family,
            width,
            identity_divisor,
            int8: false,
        })
    }

    /// The backbones of the papers: each family at each width, then with each smaller identity tensor. Each of them
    /// can have weights of eight bits, too ([`Backbone::with_int8`]).
    pub fn all() -> impl Iterator<Item = Self> {
        FAMILIES.iter().flat_map(|family| {
            family.widths.iter().flat_map(move |&width| {
                family.identity_divisors.iter().map(move |&identity_divisor| Self {
                    family,
                    width,
                    identity_divisor,
                    int8: false,
                })
            })
        })
    }

    /// The family it belongs to.
    #[must_use]
    pub fn family(&self) -> &'static Family {
        self.family
    }

    /// What all channels are multiplied by.
    #[must_use]
    pub fn width(&self) -> f64 {
        f64::from(self.width) / 100.0
    }

    /// The share of the channels that the shortcut carries is one over this (the paper's identity
    /// tensor multiplier); 1, 2, 3 or 6 in the paper.
    #[must_use]
    pub fn identity_divisor(&self) -> u32 {
        self.identity_divisor
    }

    /// How many of a block's `input` channels the shortcut carries; rounded down.
    fn identity_channels(&self, input: usize) -> usize {
        input / self.identity_divisor as usize
    }

    /// What its authors measured, where they published it.
    #[must_use]
    pub fn published(&self) -> Option<Published> {
        let name = self.with_int8(false).to_string();
        self.family.published.iter().find(|(of, _)| *of == name).map(|(_, published)| *published)
    }

    /// Whether its weights are of eight bits.
    #[must_use]
    pub fn is_int8(&self) -> bool {
        self.int8
    }

    /// The same network with weights of eight bits, or of floating point.
    #[must_use]
    pub fn with_int8(&self, int8: bool) -> Self {
        Self { int8, ..self.clone() }
    }

    /// The ImageNet classifier: one output, `logits`, of `classes` values. Weights are named
    /// `features.…` and `classifier.1.…`.
    #[must_use]
    pub fn classifier(&self, classes: usize) -> Network {
        let mut builder = NetworkBuilder::new(self.to_string());
        let features = (self.family.features)(&mut builder, self);
        let logits = builder.classify(features.last, "classifier.1", classes);
        builder.output("logits", vec![logits]);
        builder.finish()
    }

    /// The trunk of an SSD detector: six maps of stride 16, 32, 64 and on. Weights are named
    /// `backbone.features.…` and `backbone.extras.…`, as the authors' detector has them.
    ///
    /// Both families' extras are those of the authors' VOC configuration; below width 1 their channels
    /// stay the same.
    pub fn trunk(&self, builder: &mut NetworkBuilder) -> Vec<Value> {
        builder.set_prefix("backbone.");
        let features = (self.family.features)(builder, self);
        let mut maps = features.taps.to_vec();
        let mut last = features.last;
        for (i, (hidden, out)) in self.family.extras.into_iter().enumerate() {
            last = (self.family.extra)(builder, last, &format!("extras.{i}"), hidden, out);
            maps.push(last);
        }
        builder.set_prefix("");
        maps
    }
}

impl fmt::Display for Backbone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `{:?}` has at least one digit after the point.
        write!(f, "{}-{:?}", self.family.name, self.width())?;
        if self.identity_divisor > 1 {
            write!(f, "-id{}", self.identity_divisor)?;
        }
        f.write_str(if self.int8 { INT8 } else { "" })
    }
}

impl FromStr for Backbone {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        let (float, int8) = name.strip_suffix(INT8).map_or((name, false), |float| (float, true));
        let found = FAMILIES.iter().find_map(|family| {
            let rest = float.strip_prefix(family.name)?.strip_prefix('-')?;
            let (width, divisor) = rest.split_once("-id").unwrap_or((rest, "1"));
            Self::new(family.name, width.parse().ok()?, divisor.parse().ok()?)
        });
        // One network, one name: neither `1.00` nor `-id1`.
        let found = found.map(|b| b.with_int8(int8)).filter(|b| b.to_string() == name);
        found.ok_or_else(|| Error::UnknownBackbone {
            name: name.to_owned(),
            known: Self::all().map(|b| b.to_string()).collect::<Vec<_>>().join(", "),
        })
    }
}

/// The nearest multiple of `divisor` (halves up), at least one of it, and never below 90 % of `value`.
fn round_channels(value: f64, divisor: usize) -> usize {
    let step = divisor as f64;
    let rounded = (((value + step / 2.0) / step).floor() as usize * divisor).max(divisor);
    if (rounded as f64) < 0.9 * value { rounded + divisor } else { rounded }
}

/// Layers in PyTorch's `Sequential` form: convolution, batch norm and perhaps ReLU6 take one index each,
/// all in one list.
struct Sequential<'a> {
    builder: &'a mut NetworkBuilder,
    name: String,
    index: usize,
    value: Value,
}

impl<'a> Sequential<'a> {
    fn new(builder: &'a mut NetworkBuilder, name: &str, input: Value) -> Self {
        Self { builder, name: name.to_owned(), index: 0, value: input }
    }

    fn conv(&mut self, kind: Kind, channels: usize, activation: Activation) -> &mut Self {
        let names = (format!("{}.{}", self.name, self.index), format!("{}.{}", self.name, self.index + 1));
        self.value = self.builder.conv_norm(self.value, kind, channels, names, activation);
        self.index += if activation == Activation::Relu6 { 3 } else { 2 };
        self
    }

    fn depthwise(&mut self, stride: usize, activation: Activation) -> &mut Self {
        let channels = self.builder.channels(self.value);
        self.conv(Kind::Depthwise { stride }, channels, activation)
    }

    fn pointwise(&mut self, channels: usize, activation: Activation) -> &mut Self {
        self.conv(Kind::Pointwise, channels, activation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for backbone in Backbone::all() {
            assert_eq!(backbone.to_string().parse::<Backbone>().unwrap(), backbone);
            let int8 = backbone.with_int8(true);
            assert_eq!(int8.to_string().parse::<Backbone>().unwrap(), int8);
            assert_ne!(int8, backbone);
        }
        for other in ["mobilenext-0.6", "mobilenet-v2-2.0", "classic-1.05-id4-int8"] {
            assert_eq!(other.parse::<Backbone>().unwrap().to_string(), other);
        }
        let wrong =
            ["", "mobilenext", "mobilenext-", "mobilenext-1.00", "mobilenext-1", "mobilenext-1.0-id1"];
        let out_of_range =
            ["mobilenext-9.0", "mobilenext-0.05", "mobilenext-1.001", "mobilenext-NaN", "classic-inf"];
        let no_identity =
            ["mobilenet-v2-1.0-id2", "mobilenext-1.0-id0", "classic-1.0-id65", "mobilenext-1.0-int8-int8"];
        for name in wrong.into_iter().chain(out_of_range).chain(no_identity) {
            let error = name.parse::<Backbone>().unwrap_err().to_string();
            assert!(error.contains("mobilenext-1.0-id2"), "{error}");
        }
    }

    #[test]
    fn published_figures_are_of_networks_there_are() {
        for (name, _) in FAMILIES.iter().flat_map(|family| family.published) {
            assert!(name.parse::<Backbone>().unwrap().published().is_some());
        }
        let whole = "mobilenext-1.0".parse::<Backbone>().unwrap().published().unwrap();
        assert_eq!(whole, Published { top1: 74.02, pixel4: Some(211.0) });
    }

    #[test]
    fn rounding() {
        assert_eq!(round_channels(96.0 * 1.4, 8), 136);
        assert_eq!(round_channels(11.2, 8), 16); // 8 would be less than 90 %
        assert_eq!(round_channels(3.0, 8), 8);
        assert_eq!(round_channels(20.0, 8), 24);
    }

    /// (backbone, parameters, multiply-adds at 224) of the 1,000-class classifier; from the authors'
    /// code for MobileNeXt, torchvision for MobileNetV2.
    #[test]
    fn classifier_counts() {
        for (name, parameters, multiply_adds) in [
            ("mobilenext-1.4", 6_126_168, 588_319_256),
            ("mobilenext-1.0", 3_535_416, 311_342_592),
            ("mobilenext-0.75", 2_766_168, 207_926_720),
            ("mobilenext-0.5", 2_152_304, 103_256_448),
            ("mobilenext-0.35", 1_913_976, 75_141_032),
            ("mobilenext-1.0-id6", 3_535_416, 311_342_592),
            ("mobilenet-v2-1.0", 3_504_872, 300_774_272),
            ("mobilenet-v1-1.0", 4_231_976, 568_740_352),
            ("classic-1.0", 3_403_944, 244_084_800),
            ("classic-0.5", 2_081_992, 80_119_824),
        ] {
            let network = name.parse::<Backbone>().unwrap().classifier(1000);
            assert_eq!(network.parameter_count(), parameters, "{name}");
            assert_eq!(network.multiply_adds(224, 224).unwrap(), multiply_adds, "{name}");
        }
    }

    #[test]
    fn input_sizes_are_bounded() {
        let network = "mobilenet-v1-0.25".parse::<Backbone>().unwrap().classifier(10);
        assert!(network.shapes(0, 32).is_err());
        assert!(network.shapes(32, 100_000).is_err());
        assert!(network.shapes(1, 1).is_ok());
    }
}
