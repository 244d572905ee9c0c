//! What the boot costs, as JSON and as a picture: `plot ROWS JSON SVG`, called by `scripts/bench.sh plot`.
//!
//! A row is `GROUP<tab>NAME<tab>INSTRUCTIONS`. The groups are `stage`, `none` and `crc32c` (a kernel's size in KiB, by
//! digest), `RAM` (in MiB), `CPUs` and `machine`.

use std::fmt::Write;
use std::{env, fs};

use serde_json::{Value, json};

/// Loaders of this kind, by size of the kernel in KiB. Counted for this comparison on QEMU 7.2's virt machine with a
/// Cortex-A53 by a TCG plugin, as fast as each is built, not by this script; where a log cannot be switched off it counts.
const PEERS: [(&str, [(u64, u64); 3]); 4] = [
    ("KaaL elfloader (MMU stays off)", [(64, 52_073), (1024, 543_593), (16384, 8_451_791)]),
    ("rust-sel4 loader (tables by the host)", [(64, 295_512), (1024, 787_032), (16384, 8_730_798)]),
    ("hermit loader", [(64, 391_142), (1024, 882_662), (16384, 8_783_759)]),
    ("seL4 elfloader-tool", [(64, 350_391), (1024, 3_053_757), (16384, 46_307_559)]),
];

struct Row<'t> {
    group: &'t str,
    name: &'t str,
    instructions: u64,
}

fn read(text: &str) -> Vec<Row<'_>> {
    let row = |line| {
        let [group, name, instructions] = <[&str; 3]>::try_from(str::split(line, '\t').collect::<Vec<_>>())
            .unwrap_or_else(|_| panic!("not three fields: {line:?}"));
        let instructions = instructions.parse().unwrap_or_else(|_| panic!("not a number: {line:?}"));
        Row { group, name, instructions }
    };
    text.lines().map(row).collect()
}

fn of<'r, 't>(rows: &'r [Row<'t>], group: &str) -> impl Iterator<Item = &'r Row<'t>> {
    rows.iter().filter(move |row| row.group == group)
}

fn as_json(rows: &[Row<'_>]) -> Value {
    let group =
        |group| of(rows, group).map(|row| json!({ "name": row.name, "instructions": row.instructions }));
    let sizes = |group| {
        of(rows, group)
            .map(|row| json!({ "kib": number(row), "instructions": row.instructions }))
            .collect::<Value>()
    };
    let peers = PEERS.iter().map(|(name, points)| {
        let points = points.iter().map(|(kib, count)| json!({ "kib": kib, "instructions": count }));
        json!({ "name": name, "kernel_size": points.collect::<Value>() })
    });
    json!({
        "what": "instructions from the loader's first to the kernel's first",
        "how": "QEMU virt, cortex-a53, 64 KiB kernel, no digest, quiet log, no slide, unless a name says otherwise",
        "stages": group("stage").collect::<Value>(),
        "kernel_size": { "none": sizes("none"), "crc32c": sizes("crc32c") },
        "ram_mib_cortex_a72": group("RAM").collect::<Value>(),
        "cpus": group("CPUs").collect::<Value>(),
        "machines": group("machine").collect::<Value>(),
        "peers_counted_elsewhere": peers.collect::<Value>(),
    })
}

fn number(row: &Row<'_>) -> u64 {
    row.name.parse().unwrap_or_else(|_| panic!("{:?} is no size", row.name))
}

const STYLE: &str = "
text{font:12px system-ui,sans-serif;fill:#222}.h{font-weight:600;font-size:14px}.n{fill:#666}.g{stroke:#ddd}
.bar{fill:#2a7ab0}.l{fill:none;stroke-width:2}.our{stroke:#2a7ab0;stroke-width:3}.dash{stroke-dasharray:6 4}
.p0{stroke:#b0602a}.p1{stroke:#7a4fa3}.p2{stroke:#4f9a55}.p3{stroke:#b03a5b}.bg{fill:#fff}
@media(prefers-color-scheme:dark){text{fill:#ddd}.n{fill:#999}.g{stroke:#444}.bg{fill:#16191d}.bar{fill:#4a9fd8}
.our{stroke:#4a9fd8}}";

const WIDTH: u32 = 860;
const LEFT: f64 = 190.0;
const BAR_WIDTH: f64 = 520.0;
const LINE: f64 = 20.0;

/// The picture, written downwards.
struct Picture {
    body: String,
    y: f64,
}

impl Picture {
    fn heading(&mut self, text: &str) {
        self.y += 34.0;
        self.text(10.0, self.y, "h", text);
        self.y += 8.0;
    }

    fn text(&mut self, x: f64, y: f64, class: &str, text: &str) {
        let text = text.replace('&', "&amp;").replace('<', "&lt;");
        writeln!(self.body, r#"<text x="{x:.0}" y="{y:.0}" class="{class}">{text}</text>"#)
            .expect("a String grows");
    }

    /// A bar each, the longest as long as there is room.
    fn bars<'r, 't: 'r>(&mut self, rows: impl Iterator<Item = &'r Row<'t>>) {
        let rows: Vec<_> = rows.collect();
        let most = rows.iter().map(|row| row.instructions).max().unwrap_or(1).max(1);
        for row in rows {
            self.y += LINE;
            let length = row.instructions as f64 / most as f64 * BAR_WIDTH;
            self.text(10.0, self.y, "", row.name);
            let top = self.y - 11.0;
            writeln!(
                self.body,
                r#"<rect x="{LEFT}" y="{top:.0}" width="{length:.1}" height="13" class="bar"/>"#
            )
            .expect("a String grows");
            self.text(LEFT + length + 8.0, self.y, "n", &thousands(row.instructions));
        }
    }

    /// Instructions by size of the kernel, both axes logarithmic.
    fn curves(&mut self, rows: &[Row<'_>]) {
        const HEIGHT: f64 = 260.0;
        const PLOT_WIDTH: f64 = 380.0;
        const LEAST: f64 = 4.6;
        const MOST: f64 = 7.8;
        let top = self.y + 10.0;
        let x = |kib: u64| 80.0 + ((kib as f64).log2() - 6.0) / 8.0 * PLOT_WIDTH;
        let y = |count: u64| top + (MOST - (count as f64).log10()) / (MOST - LEAST) * HEIGHT;
        for count in [100_000, 1_000_000, 10_000_000] {
            let (at, right) = (y(count), x(16384));
            writeln!(self.body, r#"<path d="M80 {at:.1}H{right:.1}" class="g"/>"#).expect("a String grows");
            self.text(10.0, at + 4.0, "n", &thousands(count));
        }
        for (kib, name) in [(64, "64 KiB"), (1024, "1 MiB"), (16384, "16 MiB")] {
            self.text(x(kib) - 20.0, top + HEIGHT + 16.0, "n", name);
        }
        let ours = [("none", "our", "Handoff"), ("crc32c", "our dash", "Handoff with a digest, CRC-32C")];
        let ours = ours.map(|(group, class, name)| {
            let points = of(rows, group).map(|row| (number(row), row.instructions)).collect::<Vec<_>>();
            (class.to_owned(), name, points)
        });
        let peers =
            PEERS.iter().enumerate().map(|(at, (name, points))| (format!("p{at}"), *name, points.to_vec()));
        for (at, (class, name, points)) in ours.into_iter().chain(peers).enumerate() {
            let path: Vec<_> =
                points.iter().map(|(kib, count)| format!("{:.1} {:.1}", x(*kib), y(*count))).collect();
            let (path, key) = (path.join("L"), top + 20.0 + at as f64 * LINE);
            writeln!(
                self.body,
                r#"<path d="M{path}" class="l {class}"/><path d="M500 {key}h30" class="l {class}"/>"#
            )
            .expect("a String grows");
            self.text(540.0, key + 4.0, "", name);
        }
        self.text(500.0, top + 20.0 + 6.6 * LINE, "n", "Peers: counted once on QEMU 7.2, not by bench.sh,");
        self.text(500.0, top + 20.0 + 7.4 * LINE, "n", "their log off where that can be.");
        self.y = top + HEIGHT + 20.0;
    }
}

fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    groups.join(",")
}

fn as_svg(rows: &[Row<'_>]) -> String {
    let mut picture = Picture { body: String::new(), y: 0.0 };
    picture.heading("Instructions of a boot, by size of the kernel");
    picture.curves(rows);
    for (group, heading) in [
        ("stage", "By stage (virt, 64 KiB kernel, no digest)"),
        ("machine", "By machine"),
        ("CPUs", "By number of CPUs (virt with a GICv3)"),
        ("RAM", "By RAM (MiB; virt, cortex-a72)"),
    ] {
        picture.heading(heading);
        picture.bars(of(rows, group));
    }
    let height = picture.y + 20.0;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height:.0}\" \
         viewBox=\"0 0 {WIDTH} {height:.0}\" role=\"img\" aria-label=\"What a boot costs\">\n<style>{STYLE}</style>\n\
         <rect width=\"100%\" height=\"100%\" class=\"bg\"/>\n{}</svg>\n",
        picture.body
    )
}

fn main() {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let [rows, json, svg] = arguments.as_slice() else { panic!("plot ROWS JSON SVG") };
    let text = fs::read_to_string(rows).unwrap_or_else(|error| panic!("{rows}: {error}"));
    let rows = read(&text);
    fs::write(json, format!("{:#}\n", as_json(&rows))).unwrap_or_else(|error| panic!("{json}: {error}"));
    fs::write(svg, as_svg(&rows)).unwrap_or_else(|error| panic!("{svg}: {error}"));
}
