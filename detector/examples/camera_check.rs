//! Drives a real camera through everything that can happen to one: listing, two formats, two sizes, and
//! the plug being pulled and put back. For the kernel's test camera "vivid", as root, in the machine that
//! `scripts/camera-test.sh` boots: it takes the driver away and brings it back.

use std::error::Error;
use std::time::{Duration, Instant};

use sandglass_detector::source::FrameSource;
use sandglass_detector::source::camera::{Camera, CameraEvent, Encoding, Wish, cameras, formats};

const DRIVER: &str = "/sys/bus/platform/drivers/vivid";
const DEVICE: &str = "vivid.0";

fn main() -> Result<(), Box<dyn Error>> {
    let list = cameras()?;
    println!("cameras: {list:?}");
    let first = list.first().ok_or("no camera")?;
    let offered = formats(&first.id)?;
    println!("{} formats, from {:?} to {:?}", offered.len(), offered.first(), offered.last());

    for (width, height, encoding) in [(320, 180, Encoding::Yuyv), (640, 360, Encoding::Nv12)] {
        let wish = Wish { width, height, rate: 30, encoding: Some(encoding) };
        let mut camera = Camera::open(&first.id, wish)?;
        println!("{}: {}", camera.name(), camera.format());
        if camera.format().encoding != encoding {
            return Err("that is not what was asked for".into());
        }
        for _ in 0..10 {
            let frame = camera.next_frame()?.ok_or("the camera ended")?;
            if (frame.width(), frame.height()) != (width, height) {
                return Err(format!("a frame of {}×{}", frame.width(), frame.height()).into());
            }
            // Colour bars: neither black nor all the same.
            let bright = frame.pixels().iter().filter(|v| **v > 128).count();
            if bright < 1000 || bright > frame.pixels().len() - 1000 {
                return Err("the picture is empty".into());
            }
        }
        println!("{:?}", camera.counts());
    }

    let mut camera = Camera::open(&first.id, Wish { width: 320, height: 180, ..Wish::default() })?;
    camera.next_frame()?;
    std::fs::write(format!("{DRIVER}/unbind"), DEVICE)?;
    wait_for(&mut camera, |event| matches!(event, CameraEvent::Lost(_)))?;
    std::fs::write(format!("{DRIVER}/bind"), DEVICE)?;
    // The first opening is among the events, too: the next one is meant.
    wait_for(&mut camera, |event| matches!(event, CameraEvent::Opened(_)))?;
    let until = Instant::now() + Duration::from_secs(30);
    while camera.next_frame().is_err() {
        if Instant::now() > until {
            return Err("no picture after it came back".into());
        }
    }
    println!("camera check: all well");
    Ok(())
}

/// Waits for an event while frames are taken, as a program would.
fn wait_for(camera: &mut Camera, wanted: impl Fn(&CameraEvent) -> bool) -> Result<(), Box<dyn Error>> {
    let until = Instant::now() + Duration::from_secs(60);
    while Instant::now() < until {
        for event in camera.events() {
            println!("{event:?}");
            if wanted(&event) {
                return Ok(());
            }
        }
        if let Err(error) = camera.next_frame() {
            println!("{error}");
        }
    }
    Err("it did not happen".into())
}
