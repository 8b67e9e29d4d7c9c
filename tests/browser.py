"""A headless Chromium, driven over a pipe: no other package is needed."""

import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

CHROMIUM = shutil.which('chromium') or shutil.which('chromium-browser')
SECONDS = 60
OVERFLOWING = """
(() => {
  const wide = [], limit = document.documentElement.clientWidth;
  for (const element of document.querySelectorAll('body *')) {
    const box = element.getBoundingClientRect();
    if (box.width && (box.right > limit + 1 || box.left < -1 || element.scrollWidth > element.clientWidth + 1
        && getComputedStyle(element).display !== 'inline' && !element.closest('svg')))
      wide.push(element.tagName + ' ' + (element.textContent || '').trim().slice(0, 40));
  }
  for (const text of document.querySelectorAll('svg text')) {
    const box = text.getBoundingClientRect(), frame = text.ownerSVGElement.getBoundingClientRect();
    if (box.width && (box.right > frame.right + 1 || box.left < frame.left - 1)) wide.push('svg ' + text.textContent);
  }
  if (document.documentElement.scrollWidth > limit) wide.push('page: ' + document.documentElement.scrollWidth);
  return wide;
})()
"""


class Page:
    """A page in a browser of its own: ``with Page(path) as page``.

    Attributes:
        messages: What the browser's console and its log said.
        requests: Addresses that were asked for, data URLs left out.
    """

    def __init__(self, path, width=1200, dark=False):
        self.path, self.width, self.dark = Path(path).resolve(), width, dark
        self.messages, self.requests, self._results, self._last, self._rest = [], [], {}, 0, b''
        self._events = set()

    def __enter__(self):
        self.profile = tempfile.mkdtemp()
        (to_read, self._write), (self._read, to_write) = os.pipe(), os.pipe()
        arguments = [CHROMIUM, '--headless', '--no-sandbox', '--disable-gpu', '--hide-scrollbars']
        arguments += [f'--user-data-dir={self.profile}', '--remote-debugging-pipe', 'about:blank']

        def handles():
            # The browser reads from 3 and writes to 4; first out of the way, as they may have these numbers now.
            high = [os.dup(to_read), os.dup(to_write)]
            for handle, wanted in zip(high, (3, 4), strict=True):
                os.dup2(handle, wanted)

        self.process = subprocess.Popen(
            arguments, preexec_fn=handles, close_fds=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(to_read)
        os.close(to_write)
        target = self.call('Target.createTarget', url='about:blank')['targetId']
        self._session = self.call('Target.attachToTarget', targetId=target, flatten=True)['sessionId']
        for domain in ('Page', 'Runtime', 'Log', 'Network'):
            self.call(f'{domain}.enable')
        scheme = dict(name='prefers-color-scheme', value='dark' if self.dark else 'light')
        self.call('Emulation.setEmulatedMedia', features=[scheme])
        self.resize(900)
        self.call('Page.navigate', url=self.path.as_uri())
        self._wait(lambda: 'Page.loadEventFired' in self._events)
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        os.close(self._write)
        os.close(self._read)
        shutil.rmtree(self.profile, ignore_errors=True)

    def resize(self, height):
        """Give the window this height."""
        size = dict(width=self.width, height=height, deviceScaleFactor=1, mobile=False)
        self.call('Emulation.setDeviceMetricsOverride', **size)

    def run(self, script):
        """What a script returns."""
        answer = self.call('Runtime.evaluate', expression=script, returnByValue=True)
        assert 'exceptionDetails' not in answer, answer['exceptionDetails']
        return answer['result'].get('value')

    def overflowing(self):
        """Elements that are wider than the page or than their box, with all details opened."""
        self.run("document.querySelectorAll('details').forEach(element => element.open = true)")
        return self.run(OVERFLOWING)

    def screenshot(self, path):
        """The whole page as a PNG."""
        self.run("document.querySelectorAll('img').forEach(image => image.loading = 'eager')")
        self.resize(self.run('document.documentElement.scrollHeight'))
        time.sleep(0.3)
        Path(path).write_bytes(base64.b64decode(self.call('Page.captureScreenshot', format='png')['data']))

    def call(self, method, **parameters):
        """One command of the DevTools protocol."""
        self._last += 1
        message = dict(id=self._last, method=method, params=parameters)
        if hasattr(self, '_session') and not method.startswith('Target.'):
            message['sessionId'] = self._session
        os.write(self._write, json.dumps(message).encode() + b'\0')
        self._wait(lambda: message['id'] in self._results)
        answer = self._results.pop(message['id'])
        assert 'error' not in answer, (method, answer)
        return answer['result']

    def _wait(self, done):
        until = time.monotonic() + SECONDS
        while not done():
            assert time.monotonic() < until, 'the browser does not answer'
            *whole, self._rest = (self._rest + os.read(self._read, 1 << 16)).split(b'\0')
            for message in map(json.loads, whole):
                self._note(message)

    def _note(self, message):
        if 'id' in message:
            self._results[message['id']] = message
            return
        self._events.add(message['method'])
        if message['method'] in ('Runtime.consoleAPICalled', 'Runtime.exceptionThrown', 'Log.entryAdded'):
            self.messages.append(json.dumps(message['params']))
        if message['method'] == 'Network.requestWillBeSent':
            url = message['params']['request']['url']
            self.requests += [] if url.startswith('data:') else [url]
