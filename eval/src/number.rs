//! Decimal numbers out of bytes.

/// Powers of ten that an f64 holds exactly, as far as a short number needs them.
const POWERS: [f64; 17] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16];

/// The f64 nearest to a decimal number, exactly as `str::parse` gives it; `None` where it is none.
///
/// Short numbers without exponent, nearly all there are, need no more than one division: digits below
/// 2^53 and a power of ten up to 10^22 are exact in f64, and a division of exact numbers rounds
/// correctly. Everything else goes to the standard library.
pub(crate) fn parse(word: &[u8]) -> Option<f64> {
    let (negative, digits) = match word {
        [b'-', rest @ ..] => (true, rest),
        all => (false, all),
    };
    short(digits).map_or_else(
        || std::str::from_utf8(word).ok()?.parse().ok(),
        |value| Some(if negative { -value } else { value }),
    )
}

/// A number of at most 16 digits and points whose digits are below 2^53.
fn short(word: &[u8]) -> Option<f64> {
    if word.len() > 16 {
        return None;
    }
    let (mut digits, mut count) = (0_u64, 0);
    let mut point = None;
    for &byte in word {
        match byte {
            b'0'..=b'9' => {
                digits = digits * 10 + u64::from(byte - b'0');
                count += 1;
            }
            b'.' if point.is_none() => point = Some(count),
            _ => return None,
        }
    }
    if count == 0 || digits >= 1 << 53 {
        return None;
    }
    let power = POWERS.get(point.map_or(0, |before| count - before))?;
    Some(digits as f64 / power)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_standard_library() {
        let mut words: Vec<String> = [
            "0",
            "-0",
            "0.",
            ".5",
            "-.5",
            "1e5",
            "1E-3",
            "+7",
            "inf",
            "-inf",
            "1e999",
            "",
            "-",
            ".",
            "+",
            "1.2.3",
            "--1",
            "1-",
            "0x1",
            "9007199254740993",
            "9999999999999999",
            "0.000000000000001",
            "123456789012345678",
            "5e-324",
            "0.1",
            "375.0",
            "1 ",
            "١",
        ]
        .map(String::from)
        .to_vec();
        let mut seed = 1_u64;
        for digits in 0..20_000_u32 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let value = (seed >> 20) as f64 / 10_f64.powi(digits as i32 % 17);
            words.push(format!("{value:.*}", digits as usize % 7));
            words.push(format!("{value}"));
        }
        for word in words {
            let expected: Option<f64> = word.parse().ok();
            assert_eq!(parse(word.as_bytes()).map(f64::to_bits), expected.map(f64::to_bits), "{word:?}");
        }
        assert!(parse(b"nan").is_some_and(f64::is_nan));
        assert_eq!(parse(b"\xff"), None);
    }
}
