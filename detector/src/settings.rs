//! What a detector can be told: the device, the classes, the thresholds.

use std::fmt;
use std::str::FromStr;

use crate::error::Error;

/// What the network runs on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Device {
    /// The first NVIDIA GPU where there is one, or else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The NVIDIA GPU of this number; building fails and says why where it is not there.
    Cuda(usize),
}

impl FromStr for Device {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match (text, text.strip_prefix("cuda:").map(str::parse)) {
            ("auto", _) => Ok(Self::Auto),
            ("cpu", _) => Ok(Self::Cpu),
            ("cuda", _) => Ok(Self::Cuda(0)),
            (_, Some(Ok(number))) => Ok(Self::Cuda(number)),
            _ => Err(Error::Device(format!("{text:?} is no device; there are auto, cpu, cuda and cuda:N"))),
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
        }
    }
}

/// Which classes are looked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ClassFilter {
    /// All of them.
    #[default]
    All,
    /// These, by name.
    Only(Vec<String>),
    /// All but these.
    Except(Vec<String>),
}

/// What can be changed from one frame to the next.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Detections of this score or below are left out; 0 to 1.
    pub score_threshold: f32,
    /// A box goes when it overlaps a better one of its class by more than this IoU; 0 to 1.
    pub iou_threshold: f32,
    /// The most detections of a frame, at least 1.
    pub max_detections: usize,
    /// The best so many boxes of each class enter the suppression, so that a flood of low scores stays
    /// cheap; at least 1.
    pub candidates_per_class: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { score_threshold: 0.3, iou_threshold: 0.45, max_detections: 100, candidates_per_class: 200 }
    }
}

impl Settings {
    /// Whether every setting is in its range.
    ///
    /// # Errors
    /// [`Error::Setting`] names the first that is not.
    pub fn check(&self) -> Result<(), Error> {
        for (name, value) in
            [("score threshold", self.score_threshold), ("IoU threshold", self.iou_threshold)]
        {
            if !(0.0..=1.0).contains(&value) {
                return Err(Error::Setting { name, value: value.to_string(), expected: "between 0 and 1" });
            }
        }
        for (name, value) in
            [("max detections", self.max_detections), ("candidates per class", self.candidates_per_class)]
        {
            if value == 0 {
                return Err(Error::Setting { name, value: value.to_string(), expected: "at least 1" });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices() {
        for (text, device) in [("auto", Device::Auto), ("cpu", Device::Cpu), ("cuda", Device::Cuda(0))] {
            assert_eq!(text.parse::<Device>().unwrap(), device);
        }
        assert_eq!("cuda:3".parse::<Device>().unwrap().to_string(), "cuda:3");
        assert!("cuda:x".parse::<Device>().is_err() && "gpu".parse::<Device>().is_err());
    }
}
