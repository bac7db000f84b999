"""The fuzzing client of Autobahn|Testsuite, for servers of aaw. Python 2.7, as the suite is.

The suite expects an echo. The stock event `echo` is one: each text P is sent as `["echo","P"]`, and P is taken out of the
response. So the server is tested as it is, without a mode for the test. What the suite sends in other ways (control frames,
binary messages, parts of a frame, invalid frames) is sent as it is.

Usage: wstest.py SPECIFICATION, with the folder of the suite's packages in AUTOBAHN_PACKAGES
"""

import json
import os
import re
import site
import sys

# Unlike the folders of PYTHONPATH, it may have packages that share a namespace, as zope.interface does.
site.addsitedir(os.environ['AUTOBAHN_PACKAGES'])

from autobahntestsuite import fuzzing
from twisted.internet import reactor
from twisted.python import log

Base = fuzzing.FuzzingClientProtocol
HEAD, TAIL = '["echo","', '"]'
CONTINUATION, TEXT = 0, 1


def escape(text):
    """Escapes a part of a JSON string. The text stays UTF-8, or what else it is."""
    return re.sub(r'[\x00-\x1f"\\]', lambda found: '\\u%04x' % ord(found.group()), text)


class EchoCaller(Base):
    # sendMessage calls sendFrame with texts that are calls already.
    sends_message = False

    def sendMessage(self, payload, isBinary=False, *args, **options):
        if not isBinary:
            payload = HEAD + escape(payload) + TAIL
        self.sends_message = True
        try:
            return Base.sendMessage(self, payload, isBinary, *args, **options)
        finally:
            self.sends_message = False

    def sendFrame(self, opcode, payload='', fin=True, rsv=0, mask=None, payload_len=None, *args, **options):
        if opcode in (CONTINUATION, TEXT) and not self.sends_message:
            if payload_len is not None:
                # The payload is repeated up to this length.
                payload = (payload * (payload_len // len(payload) + 1))[:payload_len]
                payload_len = None
            payload = (HEAD if opcode == TEXT else '') + escape(payload) + (TAIL if fin else '')
        return Base.sendFrame(self, opcode, payload, fin, rsv, mask, payload_len, *args, **options)

    def onMessage(self, payload, isBinary):
        if not isBinary and payload.startswith(HEAD):
            payload = json.loads(payload)[1].encode('utf8')
        return Base.onMessage(self, payload, isBinary)


if __name__ == '__main__':
    log.startLogging(sys.stdout)
    # The factory creates instances of the class that has this name.
    fuzzing.FuzzingClientProtocol = EchoCaller
    with open(sys.argv[1]) as specification:
        fuzzing.startClient(json.load(specification))
    reactor.run()
