// Classic script, before the first paint: applies the stored theme and text size.
(function () {
  try {
    var root = document.documentElement;
    var theme = localStorage.getItem('mt_theme');
    var scale = localStorage.getItem('mt_scale');
    if (theme === 'dark' || theme === 'light') root.dataset.theme = theme;
    if (/^[0-4]$/.test(scale || '')) root.dataset.scale = scale;
  } catch (error) { /* storage is off: the system decides */ }
})();
