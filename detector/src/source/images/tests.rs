use image::{ImageBuffer, ImageEncoder, Luma, Rgb, Rgba};

use super::*;

fn pixel(frame: &Frame, x: usize, y: u32) -> [u8; 3] {
    frame.row(y)[x * 3..x * 3 + 3].try_into().unwrap()
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// Writes bytes and loads them as a picture.
fn load(name: &str, bytes: &[u8]) -> Result<Frame, Error> {
    let dir = folder();
    let path = dir.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    load_image(&path)
}

fn encoded(picture: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.into().write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// Red on the left, blue on the right.
fn two_halves() -> RgbImage {
    RgbImage::from_fn(32, 16, |x, _| if x < 16 { Rgb([250, 0, 0]) } else { Rgb([0, 0, 250]) })
}

fn message(result: Result<Frame, Error>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn formats_are_told_by_content() {
    use ImageFormat::{Bmp, Gif, Jpeg, Png, Pnm, Tiff, WebP};
    for format in [Bmp, Gif, Jpeg, Png, Pnm, Tiff, WebP] {
        let frame = load("picture.xyz", &encoded(two_halves(), format)).unwrap();
        assert_eq!((frame.width(), frame.height()), (32, 16), "{format:?}");
        let [r, _, b] = pixel(&frame, 4, 4);
        assert!(r > 230 && b < 25, "{format:?}");
    }
}

#[test]
fn orientation_is_honoured() {
    let jpeg = encoded(two_halves(), ImageFormat::Jpeg);
    // Orientation 6: the camera was turned, what is stored has to be turned clockwise.
    let exif = b"\xff\xe1\x00\x22Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
    let turned = [&jpeg[..2], exif, &jpeg[2..]].concat();
    let frame = load("phone.jpg", &turned).unwrap();
    assert_eq!((frame.width(), frame.height()), (16, 32));
    assert!(pixel(&frame, 8, 2)[0] > 230);
    assert!(pixel(&frame, 8, 29)[2] > 230);
}

#[test]
fn transparency_is_laid_over_white() {
    let clear = ImageBuffer::from_fn(2, 1, |x, _| Rgba([100_u8, 0, 0, if x == 0 { 0 } else { 128 }]));
    let frame = load("clear.png", &encoded(clear, ImageFormat::Png)).unwrap();
    assert_eq!(frame.pixels(), [255, 255, 255, 177, 127, 127]);
}

#[test]
fn sixteen_bits_grey_and_cmyk_become_rgb() {
    let deep: ImageBuffer<Rgb<u16>, _> = ImageBuffer::from_pixel(3, 2, Rgb([65535, 32896, 0]));
    assert_eq!(pixel(&load("deep.png", &encoded(deep, ImageFormat::Png)).unwrap(), 2, 1), [255, 128, 0]);
    let grey: ImageBuffer<Luma<u8>, _> = ImageBuffer::from_pixel(3, 2, Luma([77]));
    assert_eq!(pixel(&load("grey.png", &encoded(grey, ImageFormat::Png)).unwrap(), 0, 0), [77; 3]);
    let cmyk = load("cmyk.jpg", include_bytes!("cmyk.jpg")).unwrap();
    for (x, wanted) in [(2, [200, 40, 40]), (13, [20, 60, 200])] {
        let found = pixel(&cmyk, x, 8);
        assert!(found.iter().zip(wanted).all(|(a, b)| a.abs_diff(b) < 16), "{found:?}, wanted {wanted:?}");
    }
}

#[test]
fn unusable_files_are_named() {
    assert!(message(load("empty.jpg", b"")).contains("empty.jpg: is empty (0 bytes)"));
    assert!(message(load("text.png", b"Hello, this is no picture")).contains("text.png: is not a picture"));
    let dir = folder();
    assert!(message(load_image(dir.path())).contains("is a folder"));
    assert!(matches!(load_image(&dir.path().join("none.png")), Err(Error::Io { .. })));

    use ImageFormat::{Bmp, Gif, Jpeg, Png, Tiff, WebP};
    let noisy =
        RgbImage::from_fn(64, 64, |x, y| Rgb([(x * y) as u8, ((x * 7) ^ (y * 13)) as u8, (x * x) as u8]));
    for format in [Bmp, Gif, Jpeg, Png, Tiff, WebP] {
        let whole = encoded(noisy.clone(), format);
        for part in [whole.len() / 2, whole.len() * 9 / 10, 30] {
            let said = message(load("cut.img", &whole[..part]));
            assert!(said.contains("cut.img: "), "{format:?} {part}: {said}");
        }
    }
}

#[test]
fn rubbish_is_no_panic() {
    let mut seed = 7_u32;
    for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::Gif, ImageFormat::WebP] {
        let whole = encoded(two_halves(), format);
        for _ in 0..200 {
            let mut bytes = whole.clone();
            for _ in 0..4 {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let at = (seed >> 8) as usize % bytes.len();
                bytes[at] = seed as u8;
            }
            let _ = load("rubbish", &bytes);
        }
    }
}

#[test]
fn size_is_checked_before_decoding() {
    // Only a header: had the pixels been asked for, the message would be another one.
    let header = |width: u32, height: u32| {
        let mut png = Vec::new();
        let encoder = image::codecs::png::PngEncoder::new(&mut png);
        encoder.write_image(&[0; 3], 1, 1, image::ExtendedColorType::Rgb8).unwrap();
        png[16..20].copy_from_slice(&width.to_be_bytes());
        png[20..24].copy_from_slice(&height.to_be_bytes());
        let sum = png[12..29].iter().fold(!0_u32, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |c, _| (c >> 1) ^ (0xedb8_8320 & (0_u32.wrapping_sub(c & 1))))
        });
        png[29..33].copy_from_slice(&(!sum).to_be_bytes());
        message(load("big.png", &png))
    };
    assert!(header(16_385, 10).contains("too large"));
    assert!(header(2_000_000_000, 2_000_000_000).contains("too large"));
    assert!(header(16_000, 16_000).contains("16000×16000"));
}

#[test]
fn arguments_are_expanded() {
    let dir = folder();
    let at = |name: &str| dir.path().join(name);
    for name in ["10.png", "2.JPG", "notes.txt", "._2.jpg", "odd[1].png"] {
        std::fs::write(at(name), b"x").unwrap();
    }
    std::fs::create_dir(at("empty")).unwrap();
    let text = |name: &str| at(name).to_str().unwrap().to_owned();
    let whole = dir.path().to_str().unwrap().to_owned();

    assert_eq!(expand(&[whole]).unwrap(), [at("2.JPG"), at("10.png"), at("odd[1].png")]);
    assert_eq!(
        expand(&[text("*.png"), text("notes.txt")]).unwrap(),
        [at("10.png"), at("odd[1].png"), at("notes.txt")]
    );
    assert_eq!(expand(&[text("odd[1].png")]).unwrap(), [at("odd[1].png")]);
    assert_eq!(expand(&[text("[0-9].JPG")]).unwrap(), [at("2.JPG")]);
    for nothing in ["empty", "none.png", "none*", "***"] {
        let said = expand(&[text(nothing)]).unwrap_err();
        assert!(matches!(said, Error::Source(_)) && said.to_string().contains(nothing), "{said}");
    }
}

#[test]
fn a_broken_picture_does_not_end_the_list() {
    let dir = folder();
    let (bad, good) = (dir.path().join("1.png"), dir.path().join("2.png"));
    std::fs::write(&bad, b"bad").unwrap();
    two_halves().save(&good).unwrap();
    let mut images = Images::new(vec![bad, good.clone()]);
    assert_eq!(images.frame_count(), Some(2));
    assert!(images.next_frame().is_err());
    assert_eq!(images.next_frame().unwrap().unwrap().width(), 32);
    assert_eq!(images.path(), Some(good.as_path()));
    assert!(images.next_frame().unwrap().is_none());
}

#[test]
fn large_jpegs_are_decoded_to_a_part_and_stand_for_the_whole() {
    let photo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/demo/chelsea.jpg");
    let photo = image::open(photo).unwrap();
    let large = |width, height| {
        let large = photo.resize_exact(width, height, image::imageops::FilterType::CatmullRom);
        (encoded(large.clone(), ImageFormat::Jpeg), encoded(large.into_luma8(), ImageFormat::Jpeg))
    };
    let name = Path::new("large.jpg");
    let both = |jpeg: &[u8]| [Detail::Whole, Detail::Reduced].map(|d| decode_image(jpeg, name, d).unwrap());
    for (size, part) in [((800, 600), 1), ((1201, 801), 2), ((2001, 1303), 4), ((4001, 3001), 8)] {
        let (colour, grey) = large(size.0, size.1);
        for jpeg in [colour, grey] {
            let [whole, reduced] = both(&jpeg);
            let part = if cfg!(feature = "turbojpeg") { part } else { 1 };
            assert_eq!((whole.full_size(), reduced.full_size()), (size, size));
            assert_eq!((reduced.width(), reduced.height()), (size.0.div_ceil(part), size.1.div_ceil(part)));
            // The mean of a picture is that of its parts.
            let mean = |frame: &Frame| {
                let pixels = frame.packed();
                pixels.iter().map(|&value| f64::from(value)).sum::<f64>() / pixels.len() as f64
            };
            assert!((mean(&whole) - mean(&reduced)).abs() < 1.0, "{size:?}");
            let (x, y) = (reduced.width() / 3, reduced.height() / 3);
            let (near, far) = (pixel(&reduced, x as usize, y), pixel(&whole, (x * part) as usize, y * part));
            assert!(near.iter().zip(far).all(|(a, b)| a.abs_diff(b) < 30), "{size:?}: {near:?} {far:?}");
        }
    }
    let (jpeg, _) = large(2000, 1330);
    let exif = b"\xff\xe1\x00\x22Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
    let [whole, reduced] = both(&[&jpeg[..2], exif, &jpeg[2..]].concat());
    assert_eq!((whole.full_size(), reduced.full_size()), ((1330, 2000), (1330, 2000)));
    // What is damaged is told in the same words.
    for bad in [&jpeg[..jpeg.len() / 2], &jpeg[..200], b"\xff\xd8\xff\xd9"] {
        let [whole, reduced] = [Detail::Whole, Detail::Reduced].map(|d| message(decode_image(bad, name, d)));
        assert_eq!(whole, reduced);
    }
}
