//! Tables and clipped lines for people.

use std::fmt;

/// A table with a heading; columns of numbers are flush right.
#[derive(Debug)]
pub struct TextTable {
    rows: Vec<Vec<String>>,
}

impl TextTable {
    /// A table with these columns.
    pub fn new<const N: usize>(heading: [&str; N]) -> TextTable {
        TextTable { rows: vec![heading.map(str::to_owned).to_vec()] }
    }

    /// Adds a row.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.to_vec());
    }
}

impl fmt::Display for TextTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows[0].len();
        let width = |column: usize| self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for (index, row) in self.rows.iter().enumerate() {
            let mut line = String::new();
            for (column, cell) in row.iter().enumerate() {
                let width = widths[column];
                match column == 0 || self.rows.iter().skip(1).any(|row| row[column].parse::<f64>().is_err()) {
                    true => line += &format!("{cell:<width$}  "),
                    false => line += &format!("{cell:>width$}  "),
                }
            }
            writeln!(f, "{}", line.trim_end())?;
            if index == 0 {
                writeln!(f, "{}", "-".repeat(widths.iter().sum::<usize>() + 2 * (columns - 1)))?;
            }
        }
        Ok(())
    }
}

/// `text` on at most `width` characters.
pub fn clip(text: &str, width: usize) -> String {
    let text = text.trim();
    match text.chars().count() > width {
        true => text.chars().take(width.saturating_sub(1)).chain(['…']).collect(),
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_aligns_words_left_and_numbers_right() {
        let mut table = TextTable::new(["notebook", "seconds"]);
        table.row(["1-train".into(), "9.5".into()]);
        table.row(["2-load".into(), "10.25".into()]);
        let lines = ["notebook  seconds", "-----------------", "1-train       9.5", "2-load      10.25", ""];
        assert_eq!(table.to_string(), lines.join("\n"));
    }

    #[test]
    fn clip_keeps_short_text_and_marks_long_text() {
        assert_eq!(clip(" let x = 1; ", 20), "let x = 1;");
        assert_eq!(clip("0123456789", 5), "0123…");
    }
}
