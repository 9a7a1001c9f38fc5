// The rendering toolkit in one place: Preact, htm bound to it, and signals.
// Values are always children or attributes of templates, so text from the network stays text.

import { h, render, Component, Fragment } from '../vendor/preact.js';
import { useEffect, useLayoutEffect, useRef, useState } from '../vendor/preact-hooks.js';
import { signal, computed, effect, batch, untracked } from '../vendor/signals.js';
import htm from '../vendor/htm.js';

const html = htm.bind(h);

export { html, render, Component, Fragment, useEffect, useLayoutEffect, useRef, useState, signal, computed, effect, batch, untracked };
