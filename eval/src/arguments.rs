//! The command line.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Parser;
use sandglass_detector::Device;
use sandglass_detector::backbone::Backbone;

/// Mean average precision on a Pascal VOC set, as the devkit computes it.
///
/// Scores either detection files (--detections) or one of our own detectors, which is run over the
/// pictures of the split. The rules are those of the VOC2007 devkit: boxes of inclusive pixels, an
/// overlap of --iou or more is a hit, objects marked difficult count for nothing, equal scores keep
/// the order of their file. Printed are the 11-point average precision (VOC2007) and the all-point
/// one (VOC2010 and later), for every class and as means over the classes that have objects.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100, after_help = EXAMPLES, after_long_help = LONG_EXAMPLES)]
pub(crate) struct Arguments {
    /// The VOC tree: the folder that holds ImageSets, Annotations and JPEGImages.
    #[arg(long, value_name = "ROOT/VOC2007")]
    pub(crate) voc: PathBuf,

    /// The list of images, ImageSets/Main/SPLIT.txt.
    #[arg(long, default_value = "test")]
    pub(crate) split: String,

    /// Run the detector with this backbone and the weights that come with the program.
    ///
    /// Such as mobilenext-1.0 or mobilenet-v2-1.0. Without --backbone and --weights the program's
    /// default. With --weights it must be the backbone of these.
    #[arg(long, value_name = "NAME", value_parser = backbone)]
    pub(crate) backbone: Option<String>,

    /// Run the detector with the weights of this safetensors file.
    #[arg(long, value_name = "FILE")]
    pub(crate) weights: Option<PathBuf>,

    /// What the detector runs on: auto, cpu, cuda or cuda:N.
    #[arg(long, default_value_t = Device::Auto)]
    pub(crate) device: Device,

    /// Threads that work on one picture; 0 for one a processor.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) threads: usize,

    /// Score the detection files of this folder, or a file of JSON lines; no detector is run.
    ///
    /// A folder has one text file a class, comp4_det_SPLIT_CLASS.txt (or comp3_…) or CLASS.txt, with
    /// lines `image score xmin ymin xmax ymax`; the first pixel of a picture is 1, 1. A file has the
    /// lines that sandglass-detect --json or --sidecar writes.
    #[arg(long, value_name = "DIR|FILE", conflicts_with_all = ["backbone", "weights", "device", "threads"])]
    pub(crate) detections: Option<PathBuf>,

    /// The overlap (intersection over union) that makes a detection a hit, 0 to 1.
    #[arg(long, value_name = "IOU", default_value_t = 0.5, value_parser = fraction)]
    pub(crate) iou: f64,

    /// Write the result as JSON into this file, or to the standard output for -.
    ///
    /// It holds map_11_point and map_all_point, from 0 to 1, and per_class: name -> ap_11_point,
    /// ap_all_point, npos (objects to find), tp, fp, ignored. The precisions are null where npos is 0.
    /// With - the table goes to the standard error.
    #[arg(long, value_name = "FILE|-")]
    pub(crate) json: Option<PathBuf>,

    /// Write the detections as comp4_det_SPLIT_CLASS.txt into this folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) save_detections: Option<PathBuf>,

    /// Only the first N images of the split.
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<NonZeroUsize>,
}

const EXAMPLES: &str = "\
Example: sandglass-eval --voc VOCdevkit/VOC2007 --backbone mobilenet-v2-1.0
More with --help.";

const LONG_EXAMPLES: &str = "\
Examples:
  The default detector on VOC2007 test:
      sandglass-eval --voc VOCdevkit/VOC2007
  Own weights on the first 200 pictures, detections kept for later:
      sandglass-eval --voc VOCdevkit/VOC2007 --weights my.safetensors \\
          --limit 200 --save-detections out
  Detection files of any program, as JSON for a script:
      sandglass-eval --voc VOCdevkit/VOC2007 --detections out --json - | jq .map_11_point

The detector is run with a score above 0.01, non-maximum suppression at 0.45 and at most
200 boxes a class.

Exit status: 0 all is well; 1 an input failed (a picture that cannot be decoded is listed
and scored as having no detections); 2 wrong usage.";

fn backbone(text: &str) -> Result<String, String> {
    text.parse::<Backbone>().map(|_| text.to_owned()).map_err(|e| e.to_string())
}

fn fraction(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(value) if (0.0..=1.0).contains(&value) => Ok(value),
        _ => Err("expected a number from 0 to 1".into()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definition_holds_together() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn values_are_checked() {
        let parse = |rest: &str| {
            Arguments::try_parse_from(
                ["sandglass-eval", "--voc", "x"].into_iter().chain(rest.split_whitespace()),
            )
        };
        for good in ["", "--iou 0", "--iou 1", "--device cuda:1", "--detections d --save-detections e"] {
            assert!(parse(good).is_ok(), "{good}");
        }
        for bad in ["--iou 1.1", "--iou nan", "--device gpu", "--backbone nothing-1", "--limit 0"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        for bad in ["--backbone mobilenext-1.0", "--weights w", "--device cpu", "--threads 1"] {
            assert!(parse(&format!("--detections d {bad}")).is_err(), "{bad}");
        }
    }
}
