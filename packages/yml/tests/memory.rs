//! 500 MB of feed in a few MB of memory: measured in a process of its own by the kernel's high-water mark.

#![allow(clippy::unwrap_used, reason = "a test that unwraps nothing has failed")]

use std::fmt::Write as _;
use std::io::{self, Read};
use std::process::Command;

use artel_yml::{Feed, Item};

const MEGABYTE: usize = 1 << 20;
const SIZE: &str = "ARTEL_YML_FEED_MB";

/// Makes a feed while it is read; only a block of offers is ever in memory.
struct Made {
    block: Vec<u8>,
    at: usize,
    made: usize,
    wanted: usize,
    next: usize,
    ended: bool,
}

impl Made {
    fn new(wanted: usize) -> Self {
        let head = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><yml_catalog date=\"2025-11-20 17:03\"><shop><name>S</name>\
             <currencies><currency id=\"RUB\" rate=\"1\"/></currencies>\
             <categories><category id=\"1\">Всё</category></categories><offers>\n";
        Self { block: head.into(), at: 0, made: 0, wanted, next: 0, ended: false }
    }

    fn make(&mut self) {
        self.made += self.block.len();
        self.at = 0;
        self.block.clear();
        if self.ended {
            return;
        }
        if self.made >= self.wanted {
            self.ended = true;
            self.block.extend_from_slice(b"</offers></shop></yml_catalog>");
            return;
        }
        let mut text = String::new();
        for id in self.next..self.next + 50 {
            let description = "<p>Хороший &amp; нужный товар,&nbsp;второго такого нет.</p>".repeat(8);
            writeln!(
                text,
                "<offer id=\"sku-{id}\"><name>Товар номер {id}</name><price>{}.50</price><currencyId>RUB</currencyId>\
                 <categoryId>1</categoryId><picture>https://example.com/{id}.jpg</picture>\
                 <description><![CDATA[{description}]]></description><param name=\"Вес\" unit=\"кг\">1</param></offer>",
                id + 1,
            )
            .unwrap();
        }
        self.next += 50;
        self.block = text.into_bytes();
    }
}

impl Read for Made {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.at == self.block.len() {
            self.make();
        }
        let taken = out.len().min(self.block.len() - self.at);
        out[..taken].copy_from_slice(&self.block[self.at..self.at + taken]);
        self.at += taken;
        Ok(taken)
    }
}

/// The most memory that this process ever had, in bytes.
fn high_water() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

#[test]
#[cfg(target_os = "linux")]
fn half_a_gigabyte_is_read_in_little_memory() {
    const NAME: &str = "half_a_gigabyte_is_read_in_little_memory";
    if let Ok(size) = std::env::var(SIZE) {
        let size = size.parse::<usize>().unwrap() * MEGABYTE;
        let mut offers = 0;
        let mut feed = Feed::new(Made::new(size));
        for item in feed.by_ref() {
            match item.unwrap() {
                Item::Offer(_) => offers += 1,
                Item::Rejected(rejected) => panic!("{rejected:?}"),
                _ => {}
            }
        }
        assert!(feed.bytes_read() as usize >= size);
        println!("offers={offers} high_water={}", high_water());
        return;
    }
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", NAME, "--nocapture"])
        .env(SIZE, "500")
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success(), "{output}\n{}", String::from_utf8_lossy(&child.stderr));
    let number = |key: &str| -> usize {
        let at = output.find(key).unwrap_or_else(|| panic!("{output}")) + key.len();
        output[at..].chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap()
    };
    assert!(number("offers=") > 400_000, "{output}");
    assert!(number("high_water=") < 64 * MEGABYTE, "{output}");
}
