//! The two ends of the pipeline at 1280×720: unpacking a camera's picture, drawing, coding.
//! `cargo bench -p sandglass-detector --bench ends` prints medians in milliseconds, one core.
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark may stop at the first surprise")]

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use sandglass_detector::record::{Recorder, RecorderOptions, draw};
use sandglass_detector::source::camera::{CameraFormat, Encoding, unpack};
use sandglass_detector::source::{Detail, decode_image, load_image};
use sandglass_detector::{BoxXyxy, Detection, Frame};

const WIDTH: u32 = 1280;
const HEIGHT: u32 = 720;
const ROUNDS: usize = 60;

fn main() {
    let frame = photo();
    for (encoding, bytes) in [
        (Encoding::Yuyv, frame.pixels()[..(WIDTH * HEIGHT * 2) as usize].to_vec()),
        (Encoding::Nv12, frame.pixels()[..(WIDTH * HEIGHT * 3 / 2) as usize].to_vec()),
        (Encoding::Mjpeg, jpeg(&frame)),
    ] {
        let format = CameraFormat { width: WIDTH, height: HEIGHT, rate: 30, encoding };
        report(&format!("{encoding} to RGB"), || {
            black_box(unpack(black_box(&bytes), format).unwrap());
        });
    }
    // Sixteen megapixels, as phones take them: smooth, and with a sensor's noise.
    for (name, noise) in [("smooth", 0), ("noisy", 12)] {
        let jpeg = sixteen_megapixels(noise);
        for detail in [Detail::Whole, Detail::Reduced] {
            report(&format!("16 MP JPEG, {name}, {detail:?}"), || {
                black_box(decode_image(black_box(&jpeg), Path::new("large"), detail).unwrap());
            });
        }
    }
    let items = boxes();
    report("draw 20 boxes", || {
        black_box(draw(black_box(&frame), &items));
    });
    let folder = tempfile::tempdir().unwrap();
    let mut recorder = Recorder::create(folder.path().join("out.mp4"), &RecorderOptions::default()).unwrap();
    let mut number = 0;
    report("code H.264", || {
        number += 1;
        recorder.push(&frame.clone().at(Duration::from_millis(number * 33))).unwrap();
    });
}

/// A real photograph, enlarged.
fn photo() -> Frame {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/demo/astronaut.jpg");
    let photo = load_image(&path).unwrap();
    let photo = image::RgbImage::from_raw(photo.width(), photo.height(), photo.packed()).unwrap();
    let large = image::imageops::resize(&photo, WIDTH, HEIGHT, image::imageops::FilterType::Triangle);
    Frame::rgb8(WIDTH, HEIGHT, large.into_raw()).unwrap()
}

fn sixteen_megapixels(noise: u32) -> Vec<u8> {
    let (width, height) = (4608, 3456);
    let photo = photo();
    let photo = image::RgbImage::from_raw(photo.width(), photo.height(), photo.packed()).unwrap();
    let mut large = image::imageops::resize(&photo, width, height, image::imageops::FilterType::CatmullRom);
    let mut dice = 1_u32;
    for pixel in large.pixels_mut() {
        dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let change = (dice >> 16) % (noise + 1);
        pixel.0 = pixel.0.map(|value| value.saturating_add(change as u8));
    }
    // Colour at half the size, as cameras code it.
    let image = turbojpeg::Image {
        pixels: large.as_raw().as_slice(),
        width: width as usize,
        pitch: width as usize * 3,
        height: height as usize,
        format: turbojpeg::PixelFormat::RGB,
    };
    turbojpeg::compress(image, 87, turbojpeg::Subsamp::Sub2x2).unwrap().to_vec()
}

fn jpeg(frame: &Frame) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, 80);
    encoder.encode(frame.pixels(), WIDTH, HEIGHT, image::ExtendedColorType::Rgb8).unwrap();
    bytes
}

fn boxes() -> Vec<Detection> {
    let one = |i: usize| {
        let (x1, y1) = ((i % 5 * 240) as f32 + 20.0, (i / 5 * 170) as f32 + 20.0);
        let bounds = BoxXyxy { x1, y1, x2: x1 + 200.0, y2: y1 + 140.0 };
        Detection { label: "motorbike".into(), class_id: i % 20 + 1, score: 0.5, bounds }
    };
    (0..20).map(one).collect()
}

fn report(what: &str, mut work: impl FnMut()) {
    let mut times: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let begin = Instant::now();
            work();
            begin.elapsed()
        })
        .collect();
    times.sort_unstable();
    println!("{what:16} {:6.2} ms", times[ROUNDS / 2].as_secs_f64() * 1000.0);
}
