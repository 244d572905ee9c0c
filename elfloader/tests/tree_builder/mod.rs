//! Device trees for tests, right or wrong as a test asks.

#![allow(dead_code, reason = "each test uses its part")]

/// Writes a tree token by token; nothing keeps it from being wrong.
#[derive(Clone, Default)]
pub struct Tree {
    pub structure: Vec<u8>,
    pub strings: Vec<u8>,
    pub reservations: Vec<u64>,
}

impl Tree {
    /// A root with two cells each for addresses and sizes, still open.
    pub fn new() -> Self {
        Self::default().begin("").cells("#address-cells", &[2]).cells("#size-cells", &[2])
    }

    pub fn word(mut self, word: u32) -> Self {
        self.structure.extend(word.to_be_bytes());
        self
    }

    fn padded(mut self, bytes: &[u8]) -> Self {
        self.structure.extend(bytes);
        self.structure.resize(self.structure.len().next_multiple_of(4), 0);
        self
    }

    pub fn begin(self, name: &str) -> Self {
        self.word(1).padded(format!("{name}\0").as_bytes())
    }

    pub fn end(self) -> Self {
        self.word(2)
    }

    pub fn bytes(mut self, name: &str, value: &[u8]) -> Self {
        let offset = self.strings.len() as u32;
        self.strings.extend(format!("{name}\0").as_bytes());
        self.word(3).word(value.len() as u32).word(offset).padded(value)
    }

    pub fn cells(self, name: &str, cells: &[u32]) -> Self {
        let value: Vec<u8> = cells.iter().flat_map(|cell| cell.to_be_bytes()).collect();
        self.bytes(name, &value)
    }

    pub fn text(self, name: &str, text: &str) -> Self {
        self.bytes(name, format!("{text}\0").as_bytes())
    }

    pub fn node(self, name: &str, fill: impl FnOnce(Self) -> Self) -> Self {
        fill(self.begin(name)).end()
    }

    /// Ends the root and the tree; the header's words as they would be right.
    pub fn finish(self) -> Vec<u8> {
        self.end().word(9).raw()
    }

    pub fn raw(self) -> Vec<u8> {
        let mut reservations: Vec<u8> =
            self.reservations.iter().flat_map(|word| word.to_be_bytes()).collect();
        reservations.extend([0; 16]);
        let structure = 40 + reservations.len();
        let strings = structure + self.structure.len();
        let total = strings + self.strings.len();
        let lengths = [self.strings.len(), self.structure.len()];
        let fields = [0xD00D_FEED, total, structure, strings, 40, 17, 16, 0, lengths[0], lengths[1]];
        let mut tree: Vec<u8> = fields.iter().flat_map(|field| (*field as u32).to_be_bytes()).collect();
        tree.extend(reservations);
        tree.extend(self.structure);
        tree.extend(self.strings);
        tree
    }
}
