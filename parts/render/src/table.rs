//! A small table, as HTML for notebooks and as plain text for terminals.

use std::fmt;

/// Rows of text under a header. Columns of numbers are set flush right.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    /// Stands above; may be empty.
    pub title: String,
    /// The columns' names, with units; may be empty.
    pub header: Vec<String>,
    /// The cells; a short row is filled up with empty ones.
    pub rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows; [`Table::row`] adds them.
    pub fn new<S: Into<String>>(title: impl Into<String>, header: impl IntoIterator<Item = S>) -> Table {
        Table { title: title.into(), header: header.into_iter().map(Into::into).collect(), rows: Vec::new() }
    }

    /// Adds a row.
    pub fn row<S: ToString>(&mut self, cells: impl IntoIterator<Item = S>) -> &mut Table {
        self.rows.push(cells.into_iter().map(|c| c.to_string()).collect());
        self
    }

    /// The table with its first `most` rows, and a last one that says how many more there are.
    pub fn first(&self, most: usize) -> Table {
        let mut table = self.clone();
        if let Some(more) = self.rows.len().checked_sub(most).filter(|more| *more > 0) {
            table.rows.truncate(most);
            table.row([format!("and {more} more")]);
        }
        table
    }

    /// The table as HTML, every cell escaped.
    pub fn html(&self) -> String {
        let mut html = String::from("<table>");
        if !self.title.is_empty() {
            html += &format!(
                "<caption style=\"text-align:left;font-weight:bold;white-space:nowrap\">{}</caption>",
                escaped(&self.title)
            );
        }
        let sides: Vec<_> = (0..self.columns()).map(|c| if self.is_numeric(c) { "right" } else { "left" }).collect();
        let line = |tag: &str, cells: &[String]| {
            let mut line = String::from("<tr>");
            for (c, side) in sides.iter().enumerate() {
                let text = cells.get(c).map(|t| escaped(t)).unwrap_or_default();
                line += &format!("<{tag} align=\"{side}\" style=\"text-align:{side}\">{text}</{tag}>");
            }
            line + "</tr>"
        };
        if !self.header.is_empty() {
            html += &format!("<thead>{}</thead>", line("th", &self.header));
        }
        html += "<tbody>";
        self.rows.iter().for_each(|row| html += &line("td", row));
        html + "</tbody></table>"
    }

    fn columns(&self) -> usize {
        let rows = self.rows.iter().map(Vec::len);
        rows.chain([self.header.len()]).max().unwrap_or(0)
    }

    /// Whether every cell of the column is a number (perhaps with its interval, a per cent or a times sign) or empty.
    fn is_numeric(&self, column: usize) -> bool {
        let cells = self.rows.iter().filter_map(|row| row.get(column)).map(|c| c.trim());
        let mut cells = cells.filter(|c| !c.is_empty() && !["–", "—", "-"].contains(c)).peekable();
        let number = |cell: &str| {
            cell.parse::<f64>().is_ok()
                || (cell.starts_with(|c: char| c.is_ascii_digit() || "+-−.".contains(c))
                    && cell.chars().all(|c| c.is_ascii_digit() || "+-−–.,()[] %×±".contains(c)))
        };
        cells.peek().is_some() && cells.all(number)
    }
}

/// The table in plain text: columns two spaces apart, no line ends in a space.
impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = || (!self.header.is_empty()).then_some(&self.header).into_iter().chain(&self.rows);
        let flat = |cell: &str| cell.replace('\n', " ");
        let mut widths = vec![0; self.columns()];
        for line in lines() {
            for (width, cell) in widths.iter_mut().zip(line) {
                *width = (*width).max(flat(cell).chars().count());
            }
        }
        if !self.title.is_empty() {
            writeln!(f, "{}", self.title)?;
        }
        for (i, line) in lines().enumerate() {
            let mut text = String::new();
            for (c, &width) in widths.iter().enumerate() {
                let cell = line.get(c).map(|t| flat(t)).unwrap_or_default();
                text += &if self.is_numeric(c) { format!("{cell:>width$}  ") } else { format!("{cell:<width$}  ") };
            }
            writeln!(f, "{}", text.trim_end())?;
            if i == 0 && !self.header.is_empty() {
                let rules: Vec<_> = widths.iter().map(|w| "─".repeat(*w)).collect();
                writeln!(f, "{}", rules.join("  "))?;
            }
        }
        Ok(())
    }
}

/// Text as it stands in HTML.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for sign in text.chars() {
        match sign {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            '\'' => out += "&#39;",
            '\n' => out += "<br>",
            sign => out.push(sign),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new("Splits & <counts>", ["split", "studies", "AUROC (95 % CI)"]);
        table.row(["train", "592", "0.93 (0.90–0.95)"]);
        table.row(["valid", "35", "–"]);
        table
    }

    #[test]
    fn text_is_escaped() {
        let mut table = table();
        table.row(["<script>alert('x')</script> & \"more\""]);
        let html = table.html();
        assert!(html.contains("Splits &amp; &lt;counts&gt;"));
        assert!(html.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp; &quot;more&quot;"));
        assert!(!html.contains("<script"));
        assert_eq!(html.matches("<td").count(), 9, "short rows are filled up");
    }

    #[test]
    fn numbers_are_flush_right_and_words_flush_left() {
        let html = table().html();
        assert!(html.contains("<td align=\"right\" style=\"text-align:right\">35</td>"));
        assert!(html.contains("<td align=\"left\" style=\"text-align:left\">train</td>"));
        let text = "Splits & <counts>\n\
                    split  studies   AUROC (95 % CI)\n\
                    ─────  ───────  ────────────────\n\
                    train      592  0.93 (0.90–0.95)\n\
                    valid       35                 –\n";
        assert_eq!(table().to_string(), text);
    }

    #[test]
    fn an_empty_table_is_still_a_table() {
        assert_eq!(Table::default().html(), "<table><tbody></tbody></table>");
        assert_eq!(Table::default().to_string(), "");
    }
}
