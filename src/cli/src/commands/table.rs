//! Tables and numbers for a terminal of 80 columns.

/// The table's lines: columns as wide as their widest cell, two blanks between. What may be long comes last.
pub fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain([header[column].len()]).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let line = |cells: Vec<&str>| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let body = rows.iter().map(|row| line(row.iter().map(String::as_str).collect()));
    std::iter::once(line(header.to_vec())).chain(body).collect::<Vec<_>>().join("\n")
}

/// Names before their values, the values below each other.
pub fn sheet(lines: &[(&str, String)]) -> String {
    let width = lines.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
    let line = |(name, value): &(&str, String)| format!("{name:<width$}  {value}").trim_end().to_owned();
    lines.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Bytes, readable: `1.5 GiB`.
pub fn bytes(number: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if number < 1024 {
        return format!("{number} B");
    }
    let power = (number.ilog2() / 10).min(5);
    let whole = 1u64 << (10 * power);
    let tenths = (number % whole) * 10 / whole;
    format!("{}.{tenths} {}", number / whole, UNITS[power as usize - 1])
}

/// Seconds, readable: `42 s`, `7 min 5 s`, `2 h 3 min`.
pub fn duration(seconds: f64) -> String {
    // Saturates, and what is not a number is 0: this is for reading.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole seconds are wanted")]
    let whole = seconds.round() as u64;
    match whole {
        0..60 => format!("{whole} s"),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_nothing_trails() {
        let rows = [vec!["pg-0001".to_owned(), "x".to_owned()], vec!["a".to_owned(), String::new()]];
        assert_eq!(table(&["CLUSTER", "N"], &rows), "CLUSTER  N\npg-0001  x\na");
        assert_eq!(sheet(&[("a", "1".into()), ("long", String::new())]), "a     1\nlong");
    }

    #[test]
    fn numbers_are_readable() {
        assert_eq!(
            [bytes(12), bytes(1536), bytes(3 << 30), bytes(u64::MAX)],
            ["12 B", "1.5 KiB", "3.0 GiB", "16383.9 PiB"]
        );
        assert_eq!([duration(0.4), duration(61.0), duration(7380.0)], ["0 s", "1 min 1 s", "2 h 3 min"]);
    }
}
