// Body of the js_on_load of the annotator's name: a click makes it a field.
const button = element.querySelector('button'), input = element.querySelector('input');
let asked = false;
const show = () => {
  button.textContent = props.value || '…';
  if (asked) localStorage.setItem('aw-name', props.value);   // only a name that was taken
  asked = false;
};
button.addEventListener('click', () => {
  input.value = props.value; button.hidden = true; input.hidden = false; input.focus(); input.select();
});
const done = (keep) => {
  if (input.hidden) return;
  input.hidden = true; button.hidden = false;
  const name = input.value.trim();
  if (keep && name && name !== props.value) { asked = true; trigger('rename', { name }); }
};
input.addEventListener('keydown', (event) => { if (event.key === 'Enter') done(true); if (event.key === 'Escape') done(false); });
input.addEventListener('blur', () => done(true));
watch('value', show);
show();
