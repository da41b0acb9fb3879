//! Scores devkit files over and over and prints how long it took, for `benches/compare.sh`.
//!
//!     score_files ROOT [SPLIT] [ROUNDS]
//!
//! ROOT is a VOC tree with the detection files in `det`. Every round begins with the files: reading
//! the annotations, reading the detections, scoring. Printed are the two means and, in seconds, the
//! median of the rounds and of their three parts.

use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use sandglass_eval::{Dataset, Detections, evaluate};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let root = arguments.next().ok_or("usage: score_files ROOT [SPLIT] [ROUNDS]")?;
    let split = arguments.next().unwrap_or_else(|| "test".into());
    let rounds: usize = arguments.next().map_or(Ok(9), |text| text.parse())?;
    let root = Path::new(&root);
    let mut times: [Vec<Duration>; 4] = Default::default();
    for round in 0..rounds.max(1) {
        let begin = Instant::now();
        let truth = Dataset::voc(root, &split)?;
        let annotated = begin.elapsed();
        let found = Detections::read_devkit(&root.join("det"), &split)?;
        let read = begin.elapsed();
        let report = evaluate(&truth, &found, 0.5)?;
        let scored = begin.elapsed();
        for (list, time) in times.iter_mut().zip([scored, annotated, read - annotated, scored - read]) {
            list.push(time);
        }
        if round == 0 {
            let mean = |value: Option<f64>| value.map_or_else(|| "–".into(), |v| v.to_string());
            println!("images {}, detections {}", report.images, found.len());
            println!("11-point {}, all-point {}", mean(report.map_11_point), mean(report.map_all_point));
        }
    }
    let [whole, annotations, detections, scoring] = times.map(|mut list| {
        list.sort();
        list.get(list.len() / 2).map_or(0.0, Duration::as_secs_f64)
    });
    println!("annotations {annotations:.4} s, detections {detections:.4} s, scoring {scoring:.4} s");
    println!("median {whole:.4}");
    Ok(())
}
