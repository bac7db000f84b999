//! Whether a file can be opened without harm. Pure: bytes in, a symbol's name out.
//!
//! The dynamic linker trusts what it maps: a library that was cut short ends the process with SIGBUS when somebody
//! touches the pages that are missing. So everything that its headers promise has to lie within the file.

use aaw_event::abi::{ABI, SYMBOL_PREFIX};
use object::{
    Architecture, Endianness, File, FileKind, Object, ObjectKind, ObjectSection, ObjectSegment, ObjectSymbol,
    SymbolKind,
};

/// How the names of packages' symbols begin, whatever their ABI.
const ANY_ABI: &str = "aaw_module_v";

/// What lies at the beginning of every package's table, whatever its ABI: magic, number, size.
const SMALLEST_TABLE: u64 = 16;

/// Why a file is no library of events that this server could open.
///
/// Each text goes on after the file's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LibraryCheckError {
    /// There is nothing in it.
    #[error("the file is empty; expected a library of events")]
    Empty,
    /// It begins as no library does.
    #[error("the file is no library: it begins as no {expected} file does")]
    NoLibrary {
        /// The format of this system.
        expected: &'static str,
    },
    /// A library of another system, or an object of another kind.
    #[error("the file is {found}; expected {expected}")]
    OtherKind {
        /// What it is.
        found: &'static str,
        /// What this system has.
        expected: &'static str,
    },
    /// Built for another processor.
    #[error("the library was built for {found}; this server runs on {expected}")]
    OtherMachine {
        /// The library's.
        found: String,
        /// Ours.
        expected: String,
    },
    /// It ends before what its headers announce.
    #[error(
        "the library is cut short: it has {length} bytes, but its {part} reaches to {end}; write it to its end, then rename it into place"
    )]
    CutShort {
        /// Which part.
        part: String,
        /// Where that ends, in bytes.
        end: u64,
        /// The length of the file, in bytes.
        length: u64,
    },
    /// Its headers make no sense.
    #[error("the library is damaged or cut short: {0}")]
    Damaged(String),
    /// A library, but of something else.
    #[error(
        "the library is no events package: it exports no symbol {SYMBOL_PREFIX}…, which aaw_event::events!() in a package's lib.rs makes"
    )]
    NoPackage,
    /// Built with an aaw-event that speaks another ABI.
    #[error(
        "the package speaks module ABI {found}, this server speaks {ABI}: build it with the aaw-event of this server"
    )]
    OtherAbi {
        /// The package's.
        found: u32,
    },
    /// Several packages were linked into one library.
    #[error("the library holds several events packages ({}); expected one: link only one with crate-type cdylib", .0.join(", "))]
    Several(Vec<String>),
    /// The symbol has the right name, but is something else.
    #[error("the library is no events package: its symbol {0} is no table of events")]
    BadSymbol(String),
}

/// The one format that this system's linker opens, and its name.
const FORMAT: &str = if cfg!(target_vendor = "apple") { "Mach-O" } else { "ELF" };

/// Checks a library that was read whole, and gives the name of its package's symbol.
pub(super) fn check(library: &[u8]) -> Result<String, LibraryCheckError> {
    let file = parse(library)?;
    all_there(&file, library.len() as u64)?;
    symbol(&file)
}

fn parse(library: &[u8]) -> Result<File<'_>, LibraryCheckError> {
    if library.is_empty() {
        return Err(LibraryCheckError::Empty);
    }
    let kind = FileKind::parse(library).map_err(|_| LibraryCheckError::NoLibrary { expected: FORMAT })?;
    let found = match kind {
        FileKind::Elf32 | FileKind::Elf64 => "ELF",
        FileKind::MachO32 | FileKind::MachO64 => "Mach-O",
        FileKind::MachOFat32 | FileKind::MachOFat64 => {
            return Err(LibraryCheckError::OtherKind {
                found: "for several machines at once",
                expected: "a library for one",
            });
        }
        _ => return Err(LibraryCheckError::NoLibrary { expected: FORMAT }),
    };
    if found != FORMAT {
        return Err(LibraryCheckError::OtherKind { found, expected: FORMAT });
    }
    let file = File::parse(library).map_err(|error| LibraryCheckError::Damaged(error.to_string()))?;
    let (found, expected) = ((file.architecture(), file.endianness()), ours());
    if found != expected && expected.0 != Architecture::Unknown {
        let named = |(machine, endian)| match machine {
            Architecture::Unknown => "an unknown processor".to_owned(),
            _ => format!("{machine:?} ({endian:?}-endian)"),
        };
        return Err(LibraryCheckError::OtherMachine { found: named(found), expected: named(expected) });
    }
    match file.kind() {
        ObjectKind::Dynamic => Ok(file),
        ObjectKind::Executable => Err(LibraryCheckError::OtherKind { found: "a program", expected: "a library" }),
        ObjectKind::Relocatable => Err(LibraryCheckError::OtherKind { found: "an object file", expected: "a library" }),
        _ => Err(LibraryCheckError::OtherKind { found: "no library", expected: "one" }),
    }
}

/// The processor that this program was built for; unknown where it does not matter enough to be named here.
fn ours() -> (Architecture, Endianness) {
    let machine = match std::env::consts::ARCH {
        "x86_64" if cfg!(target_pointer_width = "32") => Architecture::X86_64_X32,
        "x86_64" => Architecture::X86_64,
        "aarch64" => Architecture::Aarch64,
        "x86" => Architecture::I386,
        "arm" => Architecture::Arm,
        "riscv64" => Architecture::Riscv64,
        "powerpc64" => Architecture::PowerPc64,
        "s390x" => Architecture::S390x,
        "loongarch64" => Architecture::LoongArch64,
        _ => Architecture::Unknown,
    };
    (machine, if cfg!(target_endian = "big") { Endianness::Big } else { Endianness::Little })
}

fn all_there(file: &File<'_>, length: u64) -> Result<(), LibraryCheckError> {
    let within = |part: &dyn Fn() -> String, (start, size): (u64, u64)| match start.checked_add(size) {
        Some(end) if end <= length => Ok(()),
        end => Err(LibraryCheckError::CutShort { part: part(), end: end.unwrap_or(u64::MAX), length }),
    };
    for (index, segment) in file.segments().enumerate() {
        within(&|| format!("segment {index}"), segment.file_range())?;
    }
    for section in file.sections() {
        if let Some(range) = section.file_range() {
            within(&|| format!("section {}", section.name().unwrap_or("without a name")), range)?;
        }
    }
    Ok(())
}

fn symbol(file: &File<'_>) -> Result<String, LibraryCheckError> {
    // Mach-O has no table of its own for what is exported, writes an underscore before each name, and no sizes.
    let (symbols, is_elf) = if FORMAT == "ELF" { (file.dynamic_symbols(), true) } else { (file.symbols(), false) };
    let mut found = Vec::new();
    for symbol in symbols.filter(|symbol| symbol.is_definition() && symbol.is_global()) {
        let Ok(name) = symbol.name() else { continue };
        let name = if is_elf { name } else { name.strip_prefix('_').unwrap_or(name) };
        if name.starts_with(ANY_ABI) {
            let is_table = symbol.kind() == SymbolKind::Data && (!is_elf || symbol.size() >= SMALLEST_TABLE);
            found.push((name.to_owned(), is_table));
        }
    }
    match &mut *found {
        [] => Err(LibraryCheckError::NoPackage),
        [(name, is_table)] => match abi_of(name) {
            Some(ABI) if *is_table => Ok(std::mem::take(name)),
            Some(ABI) | None => Err(LibraryCheckError::BadSymbol(std::mem::take(name))),
            Some(found) => Err(LibraryCheckError::OtherAbi { found }),
        },
        _ => {
            found.sort();
            Err(LibraryCheckError::Several(found.into_iter().map(|(name, _)| name).collect()))
        }
    }
}

/// The number in `aaw_module_v<number>_<package>`.
fn abi_of(symbol: &str) -> Option<u32> {
    symbol.strip_prefix(ANY_ABI)?.split_once('_')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_is_read_from_the_name_that_the_abi_gives() {
        assert_eq!(abi_of(&format!("{SYMBOL_PREFIX}events")), Some(ABI));
        assert_eq!(abi_of("aaw_module_v27_a_b"), Some(27));
        assert_eq!(abi_of("aaw_module_vast"), None);
    }

    #[test]
    fn what_is_no_library_is_told_apart() {
        assert_eq!(check(b""), Err(LibraryCheckError::Empty));
        assert_eq!(check(b"not a library, just some words\n"), Err(LibraryCheckError::NoLibrary { expected: FORMAT }));
        assert_eq!(check(&[0; 4096]), Err(LibraryCheckError::NoLibrary { expected: FORMAT }));
    }

    /// This very test is a program, with sections and segments like a library's.
    #[test]
    fn a_program_that_is_cut_anywhere_is_refused_and_never_a_panic() {
        let program = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let whole = check(&program).unwrap_err();
        assert!(matches!(whole, LibraryCheckError::NoPackage | LibraryCheckError::OtherKind { .. }), "{whole}");
        for part in 0..64 {
            let cut = check(&program[..program.len() / 64 * part]).unwrap_err();
            assert!(
                !matches!(cut, LibraryCheckError::NoPackage | LibraryCheckError::OtherKind { .. }),
                "{part}/64: {cut}"
            );
        }
    }

    /// Cut files mostly lack the table of sections, which comes last; a stripped one has none to lack.
    #[test]
    #[cfg(all(target_os = "linux", target_pointer_width = "64"))]
    fn a_segment_beyond_the_end_is_seen_without_any_sections() {
        let mut program = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        // e_shoff; e_shnum and e_shstrndx.
        program[40..48].fill(0);
        program[60..64].fill(0);
        assert!(!matches!(check(&program), Err(LibraryCheckError::CutShort { .. } | LibraryCheckError::Damaged(_))));
        let length = program.len() / 8;
        let cut = check(&program[..length]).unwrap_err();
        assert!(matches!(&cut, LibraryCheckError::CutShort { part, .. } if part.starts_with("segment")), "{cut}");
    }
}
