//! Checks that a library can be opened safely, from its bytes.
//!
//! The dynamic linker trusts the headers of the file that it maps: if a library was truncated, accessing one of its
//! missing pages ends the process with SIGBUS. Every range that the headers describe must therefore lie within the
//! file.

use aaw_event::abi::{ABI, SYMBOL_PREFIX};
use object::{
    Architecture, Endianness, File, FileKind, Object, ObjectKind, ObjectSection, ObjectSegment, ObjectSymbol,
    SymbolKind,
};

/// The common prefix of the symbols that events packages export, in every version of the ABI.
const ANY_ABI_PREFIX: &str = "aaw_module_v";

/// The size of the fields at the start of a package's table, which are the same in every version of the ABI: magic, ABI
/// number, size.
const MIN_TABLE_BYTES: u64 = 16;

/// Why a file is not a library of events that this server can open.
///
/// Each message continues after the name of the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LibraryCheckError {
    /// The file is empty.
    #[error("the file is empty; expected a library of events")]
    Empty,
    /// The file does not start like a library.
    #[error("the file is not a library: it does not start like an {expected} file")]
    NotALibrary {
        /// The format of libraries on this system.
        expected: &'static str,
    },
    /// A library of another system, or another kind of object file.
    #[error("the file is {found}; expected {expected}")]
    WrongKind {
        /// What the file is.
        found: &'static str,
        /// What this system opens.
        expected: &'static str,
    },
    /// The library was built for another processor.
    #[error("the library was built for {found}; this server runs on {expected}")]
    WrongArchitecture {
        /// The processor of the library.
        found: String,
        /// The processor of this server.
        expected: String,
    },
    /// The file is shorter than its headers require.
    #[error(
        "the library is truncated: it has {length} bytes, but its {part} ends at {end}; write it to another file and rename it into place"
    )]
    Truncated {
        /// The part that lies beyond the end of the file.
        part: String,
        /// The end of that part, in bytes.
        end: u64,
        /// The length of the file, in bytes.
        length: u64,
    },
    /// The headers are invalid.
    #[error("the library is damaged or truncated: {0}")]
    Damaged(String),
    /// A library that is not an events package.
    #[error(
        "the library is not an events package: it exports no symbol {SYMBOL_PREFIX}…, which aaw_event::events!() in a package's lib.rs defines"
    )]
    NotAPackage,
    /// The package was built with an incompatible version of aaw-event.
    #[error("the package uses module ABI {found}, this server uses {ABI}: build it with the aaw-event of this server")]
    IncompatibleAbi {
        /// The package's version of the ABI.
        found: u32,
    },
    /// Several packages were linked into one library.
    #[error("the library contains several events packages ({}); expected one: link only one with crate-type cdylib", .0.join(", "))]
    SeveralPackages(Vec<String>),
    /// The symbol has the right name, but is not a table of events.
    #[error("the library is not an events package: its symbol {0} is not a table of events")]
    InvalidSymbol(String),
}

/// The only format that this system's linker opens.
const FORMAT: &str = if cfg!(target_vendor = "apple") { "Mach-O" } else { "ELF" };

/// Checks the bytes of a library, and returns the name of its package's symbol.
pub(super) fn check(library: &[u8]) -> Result<String, LibraryCheckError> {
    check_format(library)?;
    let file = File::parse(library).map_err(|error| LibraryCheckError::Damaged(error.to_string()))?;
    check_architecture(&file)?;
    check_kind(&file)?;
    check_complete(&file, library.len() as u64)?;
    find_symbol(&file)
}

fn check_format(library: &[u8]) -> Result<(), LibraryCheckError> {
    if library.is_empty() {
        return Err(LibraryCheckError::Empty);
    }
    let kind = FileKind::parse(library).map_err(|_| LibraryCheckError::NotALibrary { expected: FORMAT })?;
    let found = match kind {
        FileKind::Elf32 | FileKind::Elf64 => "ELF",
        FileKind::MachO32 | FileKind::MachO64 => "Mach-O",
        FileKind::MachOFat32 | FileKind::MachOFat64 => {
            return Err(LibraryCheckError::WrongKind {
                found: "a universal binary for several processors",
                expected: "a library for one",
            });
        }
        _ => return Err(LibraryCheckError::NotALibrary { expected: FORMAT }),
    };
    if found == FORMAT { Ok(()) } else { Err(LibraryCheckError::WrongKind { found, expected: FORMAT }) }
}

fn check_architecture(file: &File<'_>) -> Result<(), LibraryCheckError> {
    let (found, expected) = ((file.architecture(), file.endianness()), own_architecture());
    if found == expected || expected.0 == Architecture::Unknown {
        return Ok(());
    }
    let describe = |(architecture, endianness)| match architecture {
        Architecture::Unknown => "an unknown processor".to_owned(),
        _ => format!("{architecture:?} ({endianness:?}-endian)"),
    };
    Err(LibraryCheckError::WrongArchitecture { found: describe(found), expected: describe(expected) })
}

/// The processor that this program was built for. `Unknown` for processors that are not listed here, whose libraries
/// are not checked for it.
fn own_architecture() -> (Architecture, Endianness) {
    let architecture = match std::env::consts::ARCH {
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
    (architecture, if cfg!(target_endian = "big") { Endianness::Big } else { Endianness::Little })
}

fn check_kind(file: &File<'_>) -> Result<(), LibraryCheckError> {
    let found = match file.kind() {
        ObjectKind::Dynamic => return Ok(()),
        ObjectKind::Executable => "a program",
        ObjectKind::Relocatable => "an object file",
        _ => "another kind of object file",
    };
    Err(LibraryCheckError::WrongKind { found, expected: "a library" })
}

/// Checks that all segments and sections lie within the file.
fn check_complete(file: &File<'_>, length: u64) -> Result<(), LibraryCheckError> {
    let check_range = |part: &dyn Fn() -> String, (start, size): (u64, u64)| match start.checked_add(size) {
        Some(end) if end <= length => Ok(()),
        end => Err(LibraryCheckError::Truncated { part: part(), end: end.unwrap_or(u64::MAX), length }),
    };
    for (index, segment) in file.segments().enumerate() {
        check_range(&|| format!("segment {index}"), segment.file_range())?;
    }
    for section in file.sections() {
        if let Some(range) = section.file_range() {
            check_range(&|| format!("section {}", section.name().unwrap_or("without a name")), range)?;
        }
    }
    Ok(())
}

/// Returns the name of the only symbol of an events package.
fn find_symbol(file: &File<'_>) -> Result<String, LibraryCheckError> {
    // Mach-O has no separate table of exported symbols, prefixes names with an underscore, and has no symbol sizes.
    let (symbols, is_elf) = if FORMAT == "ELF" { (file.dynamic_symbols(), true) } else { (file.symbols(), false) };
    let mut found = Vec::new();
    for symbol in symbols.filter(|symbol| symbol.is_definition() && symbol.is_global()) {
        let Ok(name) = symbol.name() else { continue };
        let name = if is_elf { name } else { name.strip_prefix('_').unwrap_or(name) };
        if name.starts_with(ANY_ABI_PREFIX) {
            let is_table = symbol.kind() == SymbolKind::Data && (!is_elf || symbol.size() >= MIN_TABLE_BYTES);
            found.push((name.to_owned(), is_table));
        }
    }
    match &mut *found {
        [] => Err(LibraryCheckError::NotAPackage),
        [(name, is_table)] => match abi_version(name) {
            Some(ABI) if *is_table => Ok(std::mem::take(name)),
            Some(ABI) | None => Err(LibraryCheckError::InvalidSymbol(std::mem::take(name))),
            Some(found) => Err(LibraryCheckError::IncompatibleAbi { found }),
        },
        _ => {
            found.sort();
            Err(LibraryCheckError::SeveralPackages(found.into_iter().map(|(name, _)| name).collect()))
        }
    }
}

/// The number in `aaw_module_v<number>_<package>`.
fn abi_version(symbol: &str) -> Option<u32> {
    symbol.strip_prefix(ANY_ABI_PREFIX)?.split_once('_')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_abi_version_is_read_from_the_name_of_the_symbol() {
        assert_eq!(abi_version(&format!("{SYMBOL_PREFIX}events")), Some(ABI));
        assert_eq!(abi_version("aaw_module_v27_a_b"), Some(27));
        assert_eq!(abi_version("aaw_module_vast"), None);
    }

    #[test]
    fn files_that_are_not_libraries_are_rejected() {
        assert_eq!(check(b""), Err(LibraryCheckError::Empty));
        assert_eq!(check(b"not a library, just some text\n"), Err(LibraryCheckError::NotALibrary { expected: FORMAT }));
        assert_eq!(check(&[0; 4096]), Err(LibraryCheckError::NotALibrary { expected: FORMAT }));
    }

    /// The program of this test has sections and segments like those of a library.
    #[test]
    fn a_program_truncated_at_any_length_is_rejected_without_a_panic() {
        let program = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let whole = check(&program).unwrap_err();
        assert!(matches!(whole, LibraryCheckError::NotAPackage | LibraryCheckError::WrongKind { .. }), "{whole}");
        for part in 0..64 {
            let truncated = check(&program[..program.len() / 64 * part]).unwrap_err();
            assert!(
                !matches!(truncated, LibraryCheckError::NotAPackage | LibraryCheckError::WrongKind { .. }),
                "{part}/64: {truncated}"
            );
        }
    }

    /// A truncated file usually lacks the table of sections, which comes last. A stripped library may have no such
    /// table, so that only its segments show the truncation.
    #[test]
    #[cfg(all(target_os = "linux", target_pointer_width = "64"))]
    fn a_segment_beyond_the_end_is_detected_without_sections() {
        let mut program = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        // e_shoff; e_shnum and e_shstrndx.
        program[40..48].fill(0);
        program[60..64].fill(0);
        assert!(!matches!(check(&program), Err(LibraryCheckError::Truncated { .. } | LibraryCheckError::Damaged(_))));
        let length = program.len() / 8;
        let error = check(&program[..length]).unwrap_err();
        assert!(matches!(&error, LibraryCheckError::Truncated { part, .. } if part.starts_with("segment")), "{error}");
    }
}
