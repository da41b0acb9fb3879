//! The command line.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use sandglass_detector::Device;
use sandglass_detector::backbone::Backbone;
use sandglass_detector::program::{GenerateArgs, Shared};
use sandglass_eval::partial::Shard;

use crate::imagenet::Imagenet;

/// Mean average precision of object detectors, as the Pascal VOC devkit computes it, and what is behind it.
///
/// Scores either detection files (--detections) or one of our own detectors, which is run over the
/// pictures of the set. The rules are those of the VOC2007 devkit: boxes of inclusive pixels, an
/// overlap of --iou or more is a hit, objects marked difficult count for nothing, equal scores keep
/// the order of their file. Printed are the 11-point average precision (VOC2007) and the all-point
/// one (VOC2010 and later), for every class and as means over the classes that have objects.
#[derive(Debug, Parser)]
#[command(
    name = "sandglass-eval",
    version,
    max_term_width = 100,
    after_help = EXAMPLES,
    after_long_help = LONG_EXAMPLES,
    override_usage = "sandglass-eval [OPTIONS]\n       sandglass-eval <COMMAND>",
    subcommand_negates_reqs = true
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    #[command(flatten)]
    pub(crate) run: Run,

    #[command(flatten)]
    pub(crate) shared: Shared,
}

/// What is done besides scoring.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Put parts that --shard wrote together; the result is that of one run, to the last bit.
    #[command(after_help = "Example:\n  sandglass-eval merge eval-part-*-of-4.json --json whole.json")]
    Merge {
        /// All parts, in any order.
        #[arg(required = true, value_name = "FILE")]
        parts: Vec<PathBuf>,

        #[command(flatten)]
        output: Outputs,
    },
    /// Count how often an ImageNet classifier is right: top-1 and top-5.
    Imagenet(Imagenet),
    /// Write manual pages or completions for a shell.
    Generate(GenerateArgs),
}

/// What is scored, and how.
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// The VOC tree: the folder that holds ImageSets, Annotations and JPEGImages.
    ///
    /// A folder without ImageSets is a set of one's own: all its VOC annotations (.xml) count, whatever
    /// their classes, with the pictures beside them or in JPEGImages.
    #[arg(long, value_name = "ROOT/VOC2007", required_unless_present_any = ["annotations", "compare", "print_config"])]
    pub(crate) voc: Option<PathBuf>,

    /// The list of images, ImageSets/Main/SPLIT.txt.
    #[arg(long, default_value = "test")]
    pub(crate) split: String,

    /// COCO ground truth (instances_….json) in place of a VOC tree.
    #[arg(long, value_name = "FILE", conflicts_with = "voc")]
    pub(crate) annotations: Option<PathBuf>,

    /// The folder with the pictures of --annotations.
    #[arg(long, value_name = "DIR", requires = "annotations", hide_short_help = true)]
    pub(crate) pictures: Option<PathBuf>,

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

    /// Pictures worked on at once; 0: one for each processor.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) threads: usize,

    /// Score the detections of this folder or file; no detector is run.
    ///
    /// A folder has one text file a class, comp4_det_SPLIT_CLASS.txt (or comp3_…) or CLASS.txt, with
    /// lines `image score xmin ymin xmax ymax`; the first pixel of a picture is 1, 1. A file is one of
    /// these, or has the lines of JSON that sandglass-detect --json or --sidecar writes, or is COCO's
    /// array of results (with --annotations).
    #[arg(long, value_name = "DIR|FILE", conflicts_with_all = ["backbone", "weights", "device", "threads"])]
    pub(crate) detections: Option<PathBuf>,

    /// Write the detections as comp4_det_SPLIT_CLASS.txt into this folder.
    ///
    /// While a detector runs, what it has found so far is kept there, too: interrupted, the same
    /// command goes on where it was, and gives the same figures.
    #[arg(long, value_name = "DIR")]
    pub(crate) save_detections: Option<PathBuf>,

    /// Only the first N images of the set.
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<NonZeroUsize>,

    /// Evaluate part I of N, and write it to a file for `sandglass-eval merge`.
    ///
    /// The parts can be run at the same time on different machines.
    #[arg(long, value_name = "I/N", conflicts_with_all = ["html", "csv", "save_detections"])]
    pub(crate) shard: Option<Shard>,

    /// Where --shard writes its part [default: eval-part-I-of-N.json].
    #[arg(long, value_name = "FILE", requires = "shard", hide_short_help = true)]
    pub(crate) shard_file: Option<PathBuf>,

    /// Compare two results that --json wrote: by how much the second is better, and how sure that is.
    #[arg(long, num_args = 2, value_names = ["A.json", "B.json"], conflicts_with_all = ["voc", "annotations"])]
    pub(crate) compare: Option<Vec<PathBuf>>,

    /// Make everything odd in the input an error: classes without an object, inverted boxes, pictures
    /// that cannot be decoded.
    #[arg(long, conflicts_with = "lenient", hide_short_help = true)]
    pub(crate) strict: bool,

    /// Leave out what cannot be scored (numbers that are not finite, inverted objects) and count it.
    #[arg(long, hide_short_help = true)]
    pub(crate) lenient: bool,

    #[command(flatten)]
    pub(crate) output: Outputs,
}

/// Where the result goes.
#[derive(Debug, Args)]
pub(crate) struct Outputs {
    /// The overlap (intersection over union) that makes a detection a hit, 0 to 1.
    #[arg(long, value_name = "IOU", default_value_t = 0.5, value_parser = fraction)]
    pub(crate) iou: f64,

    /// Also print COCO's twelve numbers.
    #[arg(long)]
    pub(crate) coco: bool,

    /// Write the result as JSON into this file, or to the standard output for -.
    ///
    /// It holds map_11_point and map_all_point, from 0 to 1, and per_class: name -> ap_11_point,
    /// ap_all_point, npos (objects to find), tp, fp, ignored. The precisions are null where npos is 0.
    /// Under analysis stand thresholds, errors by kind, groups by size and shape, intervals; under
    /// outcomes what became of every detection, for --compare. With - the table goes to the standard
    /// error.
    #[arg(long, value_name = "FILE|-")]
    pub(crate) json: Option<PathBuf>,

    /// Write a report as one HTML page: curves, thresholds, kinds of errors, the worst pictures.
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,

    /// Write the table as CSV, precisions from 0 to 1.
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    pub(crate) csv: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Example: sandglass-eval --voc VOCdevkit/VOC2007 --html report.html
More with --help.";

const LONG_EXAMPLES: &str = "\
Examples:
  The default detector on VOC2007 test, with a report to look at:
      sandglass-eval --voc VOCdevkit/VOC2007 --html report.html
  Own weights on the first 200 pictures, detections kept for later:
      sandglass-eval --voc VOCdevkit/VOC2007 --weights my.safetensors \\
          --limit 200 --save-detections out
  Detection files of any program, as JSON for a script:
      sandglass-eval --voc VOCdevkit/VOC2007 --detections out --json - | jq .map_11_point
  COCO's files by COCO's rules:
      sandglass-eval --annotations instances.json --detections results.json --coco
  In two parts, on two machines:
      sandglass-eval --voc VOCdevkit/VOC2007 --shard 1/2
      sandglass-eval --voc VOCdevkit/VOC2007 --shard 2/2
      sandglass-eval merge eval-part-*.json --html report.html
  Is the new detector better?
      sandglass-eval --compare old.json new.json

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
        for good in ["--shard 1/4", "--shard 2/2 --shard-file f", "--strict", "--lenient", "--html r --csv c"]
        {
            assert!(parse(good).is_ok(), "{good}");
        }
        for bad in ["--shard 0/4", "--shard 5/4", "--shard 1/0", "--strict --lenient", "--annotations a"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        let alone = |rest: &str| Arguments::try_parse_from(rest.split_whitespace());
        assert!(alone("sandglass-eval").is_err());
        assert!(alone("sandglass-eval merge a b --json -").is_ok());
        assert!(alone("sandglass-eval imagenet dir --weights w --list l").is_ok());
        assert!(alone("sandglass-eval imagenet dir").is_err());
        assert!(
            alone("sandglass-eval --compare a b").is_ok() && alone("sandglass-eval --compare a").is_err()
        );
        assert!(alone("sandglass-eval --annotations a --pictures p").is_ok());
        for bad in ["--backbone mobilenext-1.0", "--weights w", "--device cpu", "--threads 1"] {
            assert!(parse(&format!("--detections d {bad}")).is_err(), "{bad}");
        }
    }
}
