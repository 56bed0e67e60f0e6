//! Makes a failing world small: whatever can go while the failure stays, goes.

use super::world::World;

/// Worlds that are one step smaller, the big steps first.
pub fn smaller(world: &World) -> Vec<World> {
    let mut worlds = Vec::new();
    for route in 0..world.routes.len() {
        worlds.push(edited(world, |world| drop(world.routes.remove(route))));
    }
    for listener in 0..world.listeners.len() {
        let name = &world.listeners[listener].name;
        let named = world.routes.iter().flat_map(|route| &route.parents).any(|parent| parent.section.as_ref() == Some(name));
        if world.listeners.len() > 1 && !named {
            worlds.push(edited(world, |world| drop(world.listeners.remove(listener))));
        }
    }
    for (at, route) in world.routes.iter().enumerate() {
        for rule in 0..route.rules.len() {
            if route.rules.len() > 1 {
                worlds.push(edited(world, |world| drop(world.routes[at].rules.remove(rule))));
            }
            in_rule(world, at, rule, &mut worlds);
        }
        for host in 0..route.hostnames.len() {
            worlds.push(edited(world, |world| drop(world.routes[at].hostnames.remove(host))));
        }
        for parent in 0..route.parents.len() {
            if route.parents.len() > 1 {
                worlds.push(edited(world, |world| drop(world.routes[at].parents.remove(parent))));
            }
        }
    }
    worlds
}

fn in_rule(world: &World, route: usize, at: usize, worlds: &mut Vec<World>) {
    let rule = &world.routes[route].rules[at];
    let mut push = |edit: &dyn Fn(&mut super::world::Rule)| {
        worlds.push(edited(world, |world| edit(&mut world.routes[route].rules[at])));
    };
    for index in 0..rule.matches.len() {
        push(&|rule| drop(rule.matches.remove(index)));
        if rule.matches[index].method.is_some() {
            push(&|rule| rule.matches[index].method = None);
        }
        for condition in 0..rule.matches[index].headers.len() {
            push(&|rule| drop(rule.matches[index].headers.remove(condition)));
        }
        for condition in 0..rule.matches[index].query.len() {
            push(&|rule| drop(rule.matches[index].query.remove(condition)));
        }
    }
    for backend in 0..rule.backends.len() {
        push(&|rule| drop(rule.backends.remove(backend)));
    }
    if rule.request_headers.is_some() {
        push(&|rule| rule.request_headers = None);
    }
    if rule.response_headers.is_some() {
        push(&|rule| rule.response_headers = None);
    }
    if rule.rewrite.is_some() {
        push(&|rule| rule.rewrite = None);
    }
    if rule.redirect.is_some() {
        push(&|rule| rule.redirect = None);
    }
}

fn edited(world: &World, edit: impl FnOnce(&mut World)) -> World {
    let mut world = world.clone();
    edit(&mut world);
    world
}
