//! Quantities in the form in which the API server stores them.
//!
//! A builder that emits another form would never see its object as settled.

/// Nano: the API server keeps nothing finer.
const NANO: i128 = 1_000_000_000;

/// The stored form of a quantity: `1000m` is `1`, `1024Mi` is `1Gi`. A text that is no quantity stays as it is,
/// for the API server to refuse.
pub fn canonical(text: &str) -> String {
    read(text).unwrap_or_else(|| text.to_owned())
}

fn read(text: &str) -> Option<String> {
    let text = text.trim();
    let digits =
        text.find(|c: char| !c.is_ascii_digit() && !matches!(c, '.' | '+' | '-')).unwrap_or(text.len());
    let (number, suffix) = text.split_at(digits);
    let (negative, number) = match number.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, number.strip_prefix('+').unwrap_or(number)),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let mantissa: i128 = format!("{whole}{fraction}").parse().ok()?;
    let scale = 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let (unit, form) = unit(suffix)?;
    let nanos = mantissa.checked_mul(unit)?;
    // Rounded up, away from nothing, as the API server does.
    let nanos = (nanos + scale - 1) / scale;
    let written = match form {
        Form::Binary if nanos % NANO == 0 && nanos / NANO >= 1024 => binary(nanos / NANO),
        Form::Binary | Form::Decimal => decimal(nanos),
        Form::Exponent => exponent(nanos),
    };
    Some(if negative && nanos != 0 { format!("-{written}") } else { written })
}

#[derive(Clone, Copy)]
enum Form {
    Binary,
    Decimal,
    Exponent,
}

const DECIMAL: [(&str, i128); 10] = [
    ("E", 1_000_000_000_000_000_000),
    ("P", 1_000_000_000_000_000),
    ("T", 1_000_000_000_000),
    ("G", 1_000_000_000),
    ("M", 1_000_000),
    ("k", 1_000),
    ("", 1),
    ("m", 0),
    ("u", 0),
    ("n", 0),
];
const BINARY: [(&str, u32); 6] = [("Ei", 60), ("Pi", 50), ("Ti", 40), ("Gi", 30), ("Mi", 20), ("Ki", 10)];

/// Nanos per unit of a suffix.
fn unit(suffix: &str) -> Option<(i128, Form)> {
    if let Some((_, power)) = BINARY.iter().find(|(name, _)| *name == suffix) {
        return Some((NANO << power, Form::Binary));
    }
    match suffix {
        "m" => return Some((NANO / 1000, Form::Decimal)),
        "u" => return Some((1000, Form::Decimal)),
        "n" => return Some((1, Form::Decimal)),
        _ => {}
    }
    if let Some((_, size)) = DECIMAL.iter().find(|(name, size)| *name == suffix && *size > 0) {
        return Some((size * NANO, Form::Decimal));
    }
    let power: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
    let power = u32::try_from(power + 9).ok()?;
    Some((10_i128.checked_pow(power)?, Form::Exponent))
}

fn binary(value: i128) -> String {
    let fits = BINARY.iter().find(|(_, power)| value % (1 << power) == 0);
    fits.map_or_else(|| value.to_string(), |(name, power)| format!("{}{name}", value >> power))
}

fn decimal(nanos: i128) -> String {
    if nanos == 0 {
        return "0".to_owned();
    }
    let units = DECIMAL.map(|(name, size)| match name {
        "m" => (name, NANO / 1000),
        "u" => (name, 1000),
        "n" => (name, 1),
        _ => (name, size * NANO),
    });
    let fits = units.iter().find(|(_, size)| nanos % size == 0);
    fits.map_or_else(|| format!("{nanos}n"), |(name, size)| format!("{}{name}", nanos / size))
}

fn exponent(nanos: i128) -> String {
    let mut mantissa = nanos;
    let mut power = -9;
    while mantissa != 0 && mantissa % 1000 == 0 {
        mantissa /= 1000;
        power += 3;
    }
    match (mantissa, power) {
        (0, _) => "0".to_owned(),
        (mantissa, 0) => mantissa.to_string(),
        (mantissa, power) => format!("{mantissa}e{power}"),
    }
}

#[cfg(test)]
mod tests {
    use super::canonical;

    #[test]
    fn quantities_are_written_as_the_api_server_stores_them() {
        for (given, stored) in [
            ("1", "1"),
            ("1000m", "1"),
            ("0.5", "500m"),
            ("1.5", "1500m"),
            ("100m", "100m"),
            ("1000", "1k"),
            ("1024Mi", "1Gi"),
            ("1.5Gi", "1536Mi"),
            ("512Mi", "512Mi"),
            ("1000Mi", "1000Mi"),
            ("1Gi", "1Gi"),
            ("1024", "1024"),
            ("1000000", "1M"),
            ("0", "0"),
            ("0Gi", "0"),
            ("1e3", "1e3"),
            ("1000e3", "1e6"),
            ("0.5Ki", "512"),
            ("+2", "2"),
            ("-1500m", "-1500m"),
            ("12E", "12E"),
            ("not one", "not one"),
        ] {
            assert_eq!(canonical(given), stored, "{given}");
        }
    }
}
