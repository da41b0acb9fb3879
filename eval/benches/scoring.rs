//! 4,952 images with 100 detections each (495,200 lines), made anew, scored from files: XML, detection files
//! and both average precisions. Beside it, where Python with NumPy is there, the same rules in NumPy
//! (`voc_numpy.py`) over the same files. `cargo bench -p sandglass-eval --bench scoring` prints medians.
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark may stop at the first surprise")]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use sandglass_eval::{Dataset, Detections, VOC_CLASSES, evaluate};

const IMAGES: usize = 4952;
const ROUNDS: usize = 7;

fn main() {
    let folder = tempfile::tempdir().unwrap();
    for per_image in [100, 202] {
        make(folder.path(), per_image);
        let mut times = Vec::new();
        let mut map = None;
        for _ in 0..ROUNDS {
            let start = Instant::now();
            let truth = Dataset::voc(folder.path(), "test").unwrap();
            let found = Detections::read_devkit(&folder.path().join("det"), "test").unwrap();
            let report = evaluate(&truth, &found, 0.5).unwrap();
            times.push(start.elapsed().as_secs_f64());
            map = report.map_11_point;
        }
        times.sort_by(f64::total_cmp);
        let ours = times[ROUNDS / 2];
        println!("{} detections: {ours:.3} s (mAP {:.6})", IMAGES * per_image, map.unwrap());
        println!("  peak memory so far: {} MB", peak() / 1000);
        if per_image == 100 {
            numpy(folder.path(), ours);
        }
    }
}

/// The largest resident memory of this process, in kB, where the system tells.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

fn numpy(folder: &Path, ours: f64) {
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".into());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/voc_numpy.py");
    let output = Command::new(python).arg(script).arg(folder).output();
    match output {
        Ok(output) if output.status.success() => {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let seconds: f64 = text.split_whitespace().next().unwrap().parse().unwrap();
            println!("  NumPy: {} ours is 1/{:.1} of it", text.trim(), seconds / ours);
        }
        _ => println!("  NumPy: not measured (no Python with NumPy; PYTHON names another)"),
    }
}

/// Xorshift: the same files each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, count: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % count
    }
}

fn make(root: &Path, per_image: usize) {
    for folder in ["ImageSets/Main", "Annotations", "det"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    let mut dice = Dice(0x5eed);
    let mut list = String::new();
    let mut lines = vec![String::new(); VOC_CLASSES.len()];
    for image in 0..IMAGES {
        let id = format!("{:06}", image + 1);
        writeln!(list, "{id}").unwrap();
        let mut objects = Vec::new();
        let mut xml = format!(
            "<annotation>\n\t<folder>VOC2007</folder>\n\t<filename>{id}.jpg</filename>\n\t<size><width>500</width>\
             <height>375</height><depth>3</depth></size>\n"
        );
        for _ in 0..1 + dice.below(5) {
            let class = dice.below(20) as usize;
            let (x, y) = (1 + dice.below(350), 1 + dice.below(250));
            let (w, h) = (20 + dice.below(120), 20 + dice.below(100));
            let difficult = u8::from(dice.below(8) == 0);
            let name = VOC_CLASSES[class];
            writeln!(
                xml,
                "\t<object>\n\t\t<name>{name}</name>\n\t\t<pose>Unspecified</pose>\n\t\t<truncated>0</truncated>\n\
                 \t\t<difficult>{difficult}</difficult>\n\t\t<bndbox>\n\t\t\t<xmin>{x}</xmin>\n\t\t\t<ymin>{y}</ymin>\n\
                 \t\t\t<xmax>{}</xmax>\n\t\t\t<ymax>{}</ymax>\n\t\t</bndbox>\n\t</object>",
                x + w,
                y + h
            )
            .unwrap();
            objects.push((class, x, y, w, h));
        }
        xml.push_str("</annotation>\n");
        fs::write(root.join(format!("Annotations/{id}.xml")), xml).unwrap();
        for number in 0..per_image {
            let (class, x, y, w, h, score) = match objects.get(number) {
                Some(&(class, x, y, w, h)) => (class, x + dice.below(12), y, w, h, 3000 + dice.below(7000)),
                None => {
                    let (x, y) = (1 + dice.below(350), 1 + dice.below(250));
                    (
                        dice.below(20) as usize,
                        x,
                        y,
                        20 + dice.below(120),
                        20 + dice.below(100),
                        dice.below(6000),
                    )
                }
            };
            let score = score as f64 / 10_000.0;
            writeln!(lines[class], "{id} {score:.4} {x}.5 {y}.25 {}.75 {}.5", x + w, y + h).unwrap();
        }
    }
    fs::write(root.join("ImageSets/Main/test.txt"), list).unwrap();
    for (class, text) in VOC_CLASSES.iter().zip(lines) {
        fs::write(root.join(format!("det/comp4_det_test_{class}.txt")), text).unwrap();
    }
}
