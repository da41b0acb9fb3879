//! Prints what is in a picture: `cargo run --example detect -- photo.jpg`.

use sandglass_detector::{Detector, source};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("usage: detect PICTURE")?;
    let frame = source::load_image(path.as_ref())?;
    let detector = Detector::builder().build()?;
    for found in detector.detect(&frame)?.items {
        let b = found.bounds;
        println!("{} {:.2} at {:.0},{:.0} to {:.0},{:.0}", found.label, found.score, b.x1, b.y1, b.x2, b.y2);
    }
    Ok(())
}
