use std::sync::{Arc, Mutex};

use super::driver::{Raw, Stream};
use super::*;

/// What a made-up camera does next.
#[derive(Clone, Debug)]
enum Act {
    Picture(Vec<u8>),
    Vanish,
}

/// A made-up system with one camera, whose number changes each time it is plugged in.
#[derive(Clone, Default)]
struct Fake(Arc<Mutex<Plug>>);

#[derive(Default)]
struct Plug {
    there: bool,
    number: u32,
    acts: Vec<Act>,
    formats: Vec<CameraFormat>,
    opened: Vec<(String, CameraFormat)>,
    closed: usize,
}

const SMALL: CameraFormat = CameraFormat { width: 2, height: 2, rate: 30, encoding: Encoding::Rgb };

impl Fake {
    fn plugged(formats: &[CameraFormat], acts: Vec<Act>) -> Self {
        let plug = Plug { there: true, formats: formats.to_vec(), acts, ..Plug::default() };
        Self(Arc::new(Mutex::new(plug)))
    }

    fn open(&self) -> Result<Camera, Error> {
        Camera::with_driver(self.clone(), "", Wish { width: 2, height: 2, ..Wish::default() })
    }

    fn replug(&self, acts: Vec<Act>) {
        let mut plug = self.0.lock().unwrap();
        plug.there = true;
        plug.number += 1;
        plug.acts = acts;
    }
}

impl Driver for Fake {
    fn list(&mut self) -> Result<Vec<CameraInfo>, String> {
        let plug = self.0.lock().unwrap();
        let info = CameraInfo { id: plug.number.to_string(), name: "Fake camera".into() };
        Ok(if plug.there { vec![info] } else { Vec::new() })
    }

    fn formats(&mut self, _: &str) -> Result<Vec<CameraFormat>, String> {
        Ok(self.0.lock().unwrap().formats.clone())
    }

    fn open(&mut self, id: &str, format: CameraFormat) -> Result<Box<dyn Stream>, String> {
        let mut plug = self.0.lock().unwrap();
        if !plug.there || id != plug.number.to_string() {
            return Err("no such device (os error 19)".into());
        }
        plug.opened.push((id.to_owned(), format));
        Ok(Box::new(FakeStream(Arc::clone(&self.0), format)))
    }
}

struct FakeStream(Arc<Mutex<Plug>>, CameraFormat);

impl Stream for FakeStream {
    fn format(&self) -> CameraFormat {
        self.1
    }

    fn read(&mut self) -> Result<Raw, String> {
        loop {
            std::thread::sleep(Duration::from_millis(2));
            let mut plug = self.0.lock().unwrap();
            match plug.acts.first().cloned() {
                Some(Act::Picture(bytes)) => {
                    plug.acts.remove(0);
                    return Ok(Raw { bytes, taken: Instant::now() });
                }
                Some(Act::Vanish) => {
                    plug.acts.remove(0);
                    plug.there = false;
                    return Err("gone (os error 19)".into());
                }
                // Nothing more: as a camera that hangs, until it is unplugged.
                None if plug.there => {}
                None => return Err("gone (os error 19)".into()),
            }
        }
    }
}

impl Drop for FakeStream {
    fn drop(&mut self) {
        self.0.lock().unwrap().closed += 1;
    }
}

fn picture(value: u8) -> Act {
    Act::Picture(vec![value; 12])
}

#[test]
fn an_unplugged_camera_is_taken_up_again_under_its_new_number() {
    let fake = Fake::plugged(&[SMALL], vec![picture(1), Act::Vanish]);
    let mut camera = fake.open().unwrap();
    assert_eq!(camera.next_frame().unwrap().unwrap().row(0), [1; 6]);
    let lost = loop {
        // It waits until the camera is missed, and does not end.
        if let Err(error) = camera.next_frame() {
            break error;
        }
    };
    assert!(matches!(&lost, Error::Camera { over: false, .. }));
    assert!(
        lost.to_string().contains("Fake camera") && lost.to_string().contains("when it is back"),
        "{lost}"
    );
    fake.replug(vec![picture(2)]);
    let frame = loop {
        if let Ok(Some(frame)) = camera.next_frame() {
            break frame;
        }
    };
    assert_eq!(frame.row(0), [2; 6]);
    let events = camera.events();
    assert!(matches!(&events[..], [CameraEvent::Opened(_), CameraEvent::Lost(_), CameraEvent::Opened(_)]));
    assert_eq!(
        fake.0.lock().unwrap().opened.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>(),
        ["0", "1"]
    );
}

#[test]
fn the_newest_picture_wins_and_the_rest_is_counted() {
    let fake = Fake::plugged(&[SMALL], (0..5).map(picture).collect());
    let mut camera = fake.open().unwrap();
    while camera.counts().captured < 5 {
        std::thread::sleep(Duration::from_millis(2));
    }
    let frame = camera.next_frame().unwrap().unwrap();
    assert_eq!(frame.row(0), [4; 6]);
    assert_eq!(camera.counts(), CameraCounts { captured: 5, dropped: 4, corrupt: 0 });
    assert_eq!(camera.dropped(), 4);
    // And it is given once only.
    assert!(camera.next_frame().unwrap_err().to_string().contains("no picture for"));
}

#[test]
fn corrupt_pictures_are_skipped_and_counted() {
    let mjpeg = CameraFormat { encoding: Encoding::Mjpeg, ..SMALL };
    let whole = include_bytes!("../../../../assets/demo/cars.jpg").to_vec();
    let mut padded = whole.clone();
    padded.extend([0; 1000]);
    let cut = whole[..whole.len() / 2].to_vec();
    let acts = vec![Act::Picture(vec![0; 7]), Act::Picture(cut), Act::Picture(padded)];
    let mut camera = Fake::plugged(&[mjpeg], acts).open().unwrap();
    let frame = camera.next_frame().unwrap().unwrap();
    // The picture's own size, not what the format promised.
    assert!(frame.width() > 100 && frame.height() > 100);
    assert_eq!(camera.counts(), CameraCounts { captured: 3, dropped: 0, corrupt: 2 });
}

#[test]
fn a_camera_that_lies_is_believed_by_its_bytes() {
    let jpeg = include_bytes!("../../../../assets/demo/cars.jpg").to_vec();
    let acts = vec![Act::Picture(jpeg), picture(9)];
    let mut camera = Fake::plugged(&[SMALL], acts).open().unwrap();
    let mut sizes = Vec::new();
    while sizes.last() != Some(&(2, 2)) {
        let frame = camera.next_frame().unwrap().unwrap();
        sizes.push((frame.width(), frame.height()));
    }
    // Too short for what was promised: corrupt.
    let short = Fake::plugged(&[SMALL], vec![Act::Picture(vec![1; 11]), picture(3)]);
    let mut camera = short.open().unwrap();
    assert_eq!(camera.next_frame().unwrap().unwrap().row(0), [3; 6]);
    assert_eq!(camera.counts().corrupt, 1);
}

#[test]
fn closing_closes_the_device() {
    let fake = Fake::plugged(&[SMALL], (0..250).map(|_| picture(1)).collect());
    let camera = fake.open().unwrap();
    drop(camera);
    assert_eq!(fake.0.lock().unwrap().closed, 1);
}

#[test]
fn no_camera_is_said() {
    let none = Fake::default().open().err().unwrap().to_string();
    assert!(none.contains("there is no camera"), "{none}");
    let fake = Fake::plugged(&[SMALL], Vec::new());
    let other = Camera::with_driver(fake, "webcam 9000", Wish::default()).err().unwrap().to_string();
    assert!(other.contains("webcam 9000") && other.contains("0 (Fake camera)"), "{other}");
    let nothing = Fake::plugged(&[], Vec::new()).open().err().unwrap().to_string();
    assert!(nothing.contains("no format"), "{nothing}");
}

#[test]
fn the_closest_format_is_chosen() {
    let format = |width, height, rate, encoding| CameraFormat { width, height, rate, encoding };
    let webcam = [
        format(640, 480, 30, Encoding::Yuyv),
        format(640, 480, 30, Encoding::Mjpeg),
        format(1280, 720, 10, Encoding::Yuyv),
        format(1280, 720, 30, Encoding::Mjpeg),
        format(1280, 960, 30, Encoding::Mjpeg),
        format(1920, 1080, 30, Encoding::Mjpeg),
    ];
    assert_eq!(Wish::default().closest(&webcam), Some(webcam[3]));
    let vga = Wish { width: 640, height: 480, rate: 25, encoding: None };
    assert_eq!(vga.closest(&webcam), Some(webcam[0]));
    assert_eq!(
        Wish { width: 4000, height: 3000, rate: 60, encoding: None }.closest(&webcam),
        Some(webcam[5])
    );
    let yuyv = Wish { encoding: Some(Encoding::Yuyv), ..Wish::default() };
    assert_eq!(yuyv.closest(&webcam), Some(webcam[2]));
    assert_eq!(Wish { encoding: Some(Encoding::Nv12), ..yuyv }.closest(&webcam), Some(webcam[3]));
    assert_eq!(Wish::default().closest(&[]), None);
}

#[test]
fn wishes_are_read() {
    assert_eq!(
        "640x480@15".parse::<Wish>().unwrap(),
        Wish { width: 640, height: 480, rate: 15, encoding: None }
    );
    assert_eq!("640x480@15:nv12".parse::<Wish>().unwrap().encoding, Some(Encoding::Nv12));
    assert_eq!("640x480".parse::<Wish>().unwrap().rate, 30);
    for bad in ["", "640", "640x", "0x1", "640x480@0", "640x480@x", "axb", "640x480:h264"] {
        assert!(bad.parse::<Wish>().is_err(), "{bad}");
    }
}

#[test]
fn packings_become_rgb() {
    let format = |encoding| CameraFormat { width: 3, height: 3, rate: 1, encoding };
    let mid = |bytes: &[u8], encoding| pixels::unpack(bytes, format(encoding)).unwrap();
    // Y 235 is white, with U and V in the middle, in the limited range.
    let yuyv: Vec<u8> = [235, 128].repeat(4 * 3);
    assert!(mid(&yuyv, Encoding::Yuyv).pixels().iter().all(|v| *v >= 254));
    let nv12 = [vec![235; 9], vec![128; 8]].concat();
    assert!(mid(&nv12, Encoding::Nv12).pixels().iter().all(|v| *v >= 254));
    let bgr: Vec<u8> = [1, 2, 3].repeat(9);
    assert_eq!(mid(&bgr, Encoding::Bgr).row(2), [3, 2, 1].repeat(3));
    assert_eq!(mid(&[7; 9], Encoding::Gray).row(1), [7; 9]);
    for (encoding, bytes) in [(Encoding::Yuyv, 23), (Encoding::Nv12, 16), (Encoding::Rgb, 26)] {
        let reason = pixels::unpack(&vec![0; bytes], format(encoding)).unwrap_err();
        assert!(reason.contains(&bytes.to_string()), "{reason}");
    }
    // Of these sides some products are 0 in 64 bits.
    for (width, height) in [(0, 3), (3, 0), (u32::MAX, 1 << 31), (1 << 31, 1 << 31), (16_385, 1)] {
        for encoding in [Encoding::Yuyv, Encoding::Nv12, Encoding::Rgb, Encoding::Gray] {
            let lie = CameraFormat { width, height, ..format(encoding) };
            assert!(pixels::unpack(&[0; 64], lie).unwrap_err().contains("is not accepted"));
        }
    }
}

/// A camera of 1280×720 at 30 a second that keeps time.
#[derive(Clone)]
struct Paced;

impl Driver for Paced {
    fn list(&mut self) -> Result<Vec<CameraInfo>, String> {
        Ok(vec![CameraInfo { id: "0".into(), name: "Paced camera".into() }])
    }

    fn formats(&mut self, _: &str) -> Result<Vec<CameraFormat>, String> {
        Ok(vec![CameraFormat { width: 1280, height: 720, rate: 30, encoding: Encoding::Yuyv }])
    }

    fn open(&mut self, _: &str, format: CameraFormat) -> Result<Box<dyn Stream>, String> {
        Ok(Box::new(PacedStream { format, next: Instant::now(), picture: vec![100; 1280 * 720 * 2] }))
    }
}

struct PacedStream {
    format: CameraFormat,
    next: Instant,
    picture: Vec<u8>,
}

impl Stream for PacedStream {
    fn format(&self) -> CameraFormat {
        self.format
    }

    fn read(&mut self) -> Result<Raw, String> {
        std::thread::sleep(self.next.saturating_duration_since(Instant::now()));
        self.next += Duration::from_millis(33);
        Ok(Raw { bytes: self.picture.clone(), taken: Instant::now() })
    }
}

/// From capture to drawn frame: `cargo test --release -- --ignored --nocapture capture_to_drawn`.
#[cfg(feature = "embedded-weights")]
#[test]
#[ignore = "measures"]
fn capture_to_drawn_frame() {
    let mut camera = Camera::with_driver(Paced, "", Wish::default()).unwrap();
    let detector = crate::Detector::builder().build().unwrap();
    let began = camera.live_since().unwrap();
    let (mut latency, mut inference) = (Vec::new(), Vec::new());
    for _ in 0..200 {
        let frame = camera.next_frame().unwrap().unwrap();
        let found = detector.detect(&frame).unwrap();
        let drawn = crate::record::draw(&frame, &found.items);
        latency.push((began + drawn.captured()).elapsed());
        inference.push(found.timing.total());
    }
    latency.sort_unstable();
    inference.sort_unstable();
    println!(
        "{}: capture to drawn {:.1?}, inference {:.1?} (medians); {:?}",
        detector.engine(),
        latency[100],
        inference[100],
        camera.counts()
    );
}
