"""The page: a client of the operator API and nothing more.

One process serves all browsers. It holds one event stream and one picture of the cluster (:mod:`upcall.web.live`),
turns it into what each panel shows (:mod:`upcall.web.panels`), and sends a panel only when it changed; the browser
patches what differs. Who acts is the person who logged in, with a session of their own.
"""
