// Tells pidone that the loop of a worker turns, and where it stands when it does not.
//
// At SIGUSR1 Node opens its inspector from within whatever the main thread is doing, and tells
// 'internalMessage' of it on top of that stack (Agent::StartIoThread, src/inspector_agent.cc). If it was pidone
// who asked, the stack is what was wanted: the inspector is closed in that moment. Nothing that was said to it is
// acted on before this returns, and who does not know its address, which is a random UUID, is not heard at all.
'use strict';

const { performance } = require('perf_hooks');

const FRAMES = 50;

function answer(tell) {
  let asked = false;
  let heard = Infinity;
  let patience = 0;
  process.on('internalMessage', function onMessage(message) {
    if (message.cmd === 'NODE_PIDONE_PING') {
      heard = performance.now();
      patience = message.patience;
      tell('NODE_PIDONE_PONG');
    } else if (message.cmd === 'NODE_PIDONE_STACK') {
      // Heard before the signal or after it, so the loop turns again; it is to be replaced all the same.
      asked = true;
      if (process._debugEnd) process._debugEnd();
    } else if (message.cmd === 'NODE_DEBUG_ENABLED') {
      // A user's own signal or inspector.open() comes to a loop that turns.
      if (asked || performance.now() - heard > patience / 2) {
        process._debugEnd();
        tell('NODE_PIDONE_STACK', { stack: stackBelow(onMessage) });
      } else {
        tell('NODE_PIDONE_INSPECTED');
      }
    }
  });
}

// What called process.emit, which called `listener`; not as the app prepares its stacks, which may do anything.
function stackBelow(listener) {
  const { stackTraceLimit, prepareStackTrace } = Error;
  const holder = {};
  try {
    Error.stackTraceLimit = FRAMES;
    Error.prepareStackTrace = undefined;
    Error.captureStackTrace(holder, listener);
    const lines = holder.stack.split('\n').slice(1);
    return lines.slice(/ process\.emit /.test(lines[0]) ? 1 : 0).join('\n');
  } finally {
    Object.assign(Error, { stackTraceLimit, prepareStackTrace });
  }
}

module.exports = { answer };
