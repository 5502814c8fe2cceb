"""HTTP in: events from browsers, apps and servers, checked and made safe at the door.

Nothing passes that names a person: ids are keyed-hashed, addresses reduced, identifiers
in free text dropped. What passes is in the event log before the answer is given. What an
event *is* belongs to `nearline.events`, how it is kept to `nearline.log`.
"""
