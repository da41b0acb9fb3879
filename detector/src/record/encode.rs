//! Frames to H.264.

use std::time::Duration;

use openh264::encoder::{
    BitRate, Complexity, Encoder, EncoderConfig, FrameType, QpRange, RateControlMode, VuiConfig,
};
use openh264::formats::YUVSource;
use openh264::{OpenH264API, Timestamp};
use yuv::{
    YuvChromaSubsampling, YuvConversionMode, YuvPlanarImageMut, YuvRange, YuvStandardMatrix, rgb_to_yuv420,
};

use crate::frame::Frame;

/// The longest and the other side the encoder takes, in pixels.
const MAX_SIDES: (u32, u32) = (3840, 2160);
/// The smallest side it takes.
const MIN_SIDE: u32 = 16;
/// At least this often a picture can be read without those before it.
const KEY_INTERVAL: Duration = Duration::from_secs(2);

/// How well frames are coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quality {
    /// The same quantiser for every frame, 0 (best) to 51: constant quality, whatever the frame rate.
    Quantiser(u8),
    /// So many bits a second on average, 10,000 to 100 million.
    BitRate(u32),
}

impl Default for Quality {
    /// Quantiser 26: hardly told from the original.
    fn default() -> Self {
        Self::Quantiser(26)
    }
}

impl Quality {
    /// Whether it is in range; the error is a reason to show.
    pub(super) fn check(self) -> Result<(), String> {
        match self {
            Self::Quantiser(0..=51) | Self::BitRate(10_000..=100_000_000) => Ok(()),
            Self::Quantiser(q) => Err(format!("a quantiser is 0 to 51, not {q}")),
            Self::BitRate(rate) => Err(format!("a bit rate is 10,000 to 100 million a second, not {rate}")),
        }
    }
}

/// One coded picture.
#[derive(Debug)]
pub(super) struct Coded {
    /// NAL units, each after its length in four bytes; parameter sets are not among them.
    pub(super) data: Vec<u8>,
    /// Whether it can be read without those before it.
    pub(super) key: bool,
}

/// An H.264 encoder for frames of one size.
pub(super) struct H264 {
    encoder: Encoder,
    planes: YuvPlanarImageMut<'static, u8>,
    rgb: Vec<u8>,
    last_key: Option<Duration>,
    /// Sequence and picture parameter set, known after the first picture.
    pub(super) parameters: Option<(Vec<u8>, Vec<u8>)>,
}

impl H264 {
    /// An encoder for frames of this size; the error is a reason to show.
    pub(super) fn new(width: u32, height: u32, quality: Quality) -> Result<Self, String> {
        let (coded_width, coded_height) = coded_size(width, height);
        let (long, short) = (coded_width.max(coded_height), coded_width.min(coded_height));
        if long > MAX_SIDES.0 || short > MAX_SIDES.1 {
            return Err(format!(
                "frames of {width}×{height} are too large for H.264, {}×{} is the most",
                MAX_SIDES.0, MAX_SIDES.1
            ));
        }
        let config = match quality {
            // Without rate control openh264 would always take 26; with it, it keeps to the range.
            Quality::Quantiser(q) => EncoderConfig::new()
                .rate_control_mode(RateControlMode::Bufferbased)
                .bitrate(BitRate::from_bps(100_000_000))
                .qp(QpRange::new(q, q)),
            // By the frames' times: cameras and slow detectors vary their rate.
            Quality::BitRate(rate) => EncoderConfig::new()
                .rate_control_mode(RateControlMode::Bufferbased)
                .bitrate(BitRate::from_bps(rate)),
        };
        let config = config
            .skip_frames(false)
            .complexity(Complexity::Low)
            // It takes what stands still for background and leaves shadows of boxes that moved.
            .background_detection(false)
            .num_threads(1)
            .vui(VuiConfig::bt709());
        let encoder = Encoder::with_api_config(OpenH264API::from_source(), config)
            .map_err(|e| format!("the H.264 encoder did not start: {e}"))?;
        let planes = YuvPlanarImageMut::alloc(coded_width, coded_height, YuvChromaSubsampling::Yuv420);
        Ok(Self { encoder, planes, rgb: Vec::new(), last_key: None, parameters: None })
    }

    /// Width and height of what is coded: even, as 4:2:0 needs it.
    pub(super) fn size(&self) -> (u32, u32) {
        (self.planes.width, self.planes.height)
    }

    /// Codes a frame taken at `time` after the first; the error is a reason to show.
    pub(super) fn encode(&mut self, frame: &Frame, time: Duration) -> Result<Coded, String> {
        let (width, height) = self.size();
        pad(frame, width, height, &mut self.rgb);
        let (range, matrix) = (YuvRange::Limited, YuvStandardMatrix::Bt709);
        rgb_to_yuv420(&mut self.planes, &self.rgb, width * 3, range, matrix, YuvConversionMode::Balanced)
            .map_err(|e| format!("a frame could not be converted: {e}"))?;
        if self.last_key.is_some_and(|last| time.saturating_sub(last) >= KEY_INTERVAL) {
            self.encoder.force_intra_frame();
        }
        let stream = self
            .encoder
            .encode_at(&Planes(&self.planes), Timestamp::from_millis(time.as_millis() as u64))
            .map_err(|e| format!("the H.264 encoder failed: {e}"))?;
        let key = match stream.frame_type() {
            FrameType::IDR => true,
            FrameType::I | FrameType::P | FrameType::IPMixed => false,
            FrameType::Skip | FrameType::Invalid => return Err("the H.264 encoder left a frame out".into()),
        };
        let mut data = Vec::new();
        let (mut sps, mut pps) = (None, None);
        for layer in (0..stream.num_layers()).filter_map(|i| stream.layer(i)) {
            for unit in (0..layer.nal_count()).filter_map(|i| layer.nal_unit(i)) {
                let unit = without_start_code(unit);
                match unit.first().map(|head| head & 0x1f) {
                    Some(7) => sps = Some(unit.to_vec()),
                    Some(8) => pps = Some(unit.to_vec()),
                    Some(_) => {
                        let length = u32::try_from(unit.len()).map_err(|_| "a frame is too large")?;
                        data.extend_from_slice(&length.to_be_bytes());
                        data.extend_from_slice(unit);
                    }
                    None => {}
                }
            }
        }
        if let (None, Some(sps), Some(pps)) = (&self.parameters, sps, pps) {
            self.parameters = Some((sps, pps));
        }
        if key {
            self.last_key = Some(time);
        }
        Ok(Coded { data, key })
    }
}

/// The next size with even sides that the encoder takes.
fn coded_size(width: u32, height: u32) -> (u32, u32) {
    (width.next_multiple_of(2).max(MIN_SIDE), height.next_multiple_of(2).max(MIN_SIDE))
}

/// Copies a frame into `width` × `height` pixels, its last column and row repeated where it is smaller.
fn pad(frame: &Frame, width: u32, height: u32, to: &mut Vec<u8>) {
    to.clear();
    let missing = width.saturating_sub(frame.width()) as usize;
    for y in 0..height {
        let row = frame.row(y.min(frame.height() - 1));
        to.extend_from_slice(row);
        let last = row.get(row.len().saturating_sub(3)..).unwrap_or(&[]);
        for _ in 0..missing {
            to.extend_from_slice(last);
        }
    }
}

fn without_start_code(unit: &[u8]) -> &[u8] {
    let zeros = unit.iter().take_while(|byte| **byte == 0).count();
    unit.get(zeros + 1..).unwrap_or(&[])
}

/// What the converter wrote, as the encoder wants to see it.
struct Planes<'a>(&'a YuvPlanarImageMut<'static, u8>);

impl YUVSource for Planes<'_> {
    fn dimensions(&self) -> (usize, usize) {
        (self.0.width as usize, self.0.height as usize)
    }

    fn strides(&self) -> (usize, usize, usize) {
        (self.0.y_stride as usize, self.0.u_stride as usize, self.0.v_stride as usize)
    }

    fn y(&self) -> &[u8] {
        self.0.y_plane.borrow()
    }

    fn u(&self) -> &[u8] {
        self.0.u_plane.borrow()
    }

    fn v(&self) -> &[u8] {
        self.0.v_plane.borrow()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_sizes_repeat_their_edge() {
        let frame = Frame::rgb8(1, 1, vec![1, 2, 3]).unwrap();
        let mut padded = Vec::new();
        pad(&frame, 2, 2, &mut padded);
        assert_eq!(padded, [1, 2, 3].repeat(4));
        assert_eq!(coded_size(451, 299), (452, 300));
        assert_eq!(coded_size(2, 720), (16, 720));
    }

    #[test]
    fn sizes_are_limited() {
        assert!(H264::new(3840, 2160, Quality::default()).is_ok());
        assert!(H264::new(1080, 3839, Quality::default()).is_ok());
        assert!(H264::new(3841, 2160, Quality::default()).is_err());
        assert!(H264::new(3000, 3000, Quality::default()).is_err());
    }

    #[test]
    fn key_pictures_come_by_time() {
        let mut encoder = H264::new(64, 48, Quality::default()).unwrap();
        let frame = Frame::rgb8(64, 48, vec![128; 64 * 48 * 3]).unwrap();
        let keys: Vec<bool> = [0, 500, 1900, 2100, 2200, 9000]
            .map(|ms| encoder.encode(&frame, Duration::from_millis(ms)).unwrap().key)
            .into();
        assert_eq!(keys, [true, false, false, true, false, true]);
        assert!(encoder.parameters.is_some());
    }
}
