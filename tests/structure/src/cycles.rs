//! Circles in a graph.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// From a file to the files that it imports, each with the import.
type Edges = BTreeMap<String, BTreeMap<String, String>>;

/// One shortest circle for each set of files that all reach each other.
pub(crate) fn circles(edges: &Edges) -> Vec<String> {
    let mut reported = BTreeSet::new();
    let mut circles = Vec::new();
    for file in edges.keys() {
        if reported.contains(file) {
            continue;
        }
        if let Some(circle) = shortest(edges, file) {
            reported.extend(circle.iter().map(|(from, _)| from.clone()));
            circles.push(describe(edges, &circle));
        }
    }
    circles
}

/// The shortest way from a file back to itself, breadth first.
fn shortest(edges: &Edges, start: &String) -> Option<Vec<(String, String)>> {
    let mut came_from: BTreeMap<&String, &String> = BTreeMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(file) = queue.pop_front() {
        for next in edges.get(file).into_iter().flat_map(BTreeMap::keys) {
            if next == start {
                let mut way = vec![(file.clone(), start.clone())];
                let mut at = file;
                while at != start {
                    let before = came_from[at];
                    way.push((before.clone(), at.clone()));
                    at = before;
                }
                way.reverse();
                return Some(way);
            }
            if !came_from.contains_key(next) {
                came_from.insert(next, file);
                queue.push_back(next);
            }
        }
    }
    None
}

fn describe(edges: &Edges, circle: &[(String, String)]) -> String {
    let step = |(from, to): &(String, String)| format!("{from} -> {to} (`{}`)", edges[from][to]);
    circle.iter().map(step).collect::<Vec<_>>().join(", ")
}
