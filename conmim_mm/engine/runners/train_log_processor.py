"""The log's lines, with what is looked for first coming first."""

from datetime import timedelta

from mmengine.runner import LogProcessor, Runner
from mmpretrain.registry import LOG_PROCESSORS

FIRST_KEYS = ('loss', 'hit_rate', 'lr', 'momentum', 'images_per_second', 'data_wait', 'time',
              'memory')
# the header says the first two; the next is in data_wait, and in scalars.json
HIDDEN_KEYS = ('epoch', 'iter', 'data_time')
FORMATS = dict(lr='{:.2e}', base_lr='{:.2e}', momentum='{:.5f}', images_per_second='{:.1f}',
               data_wait='{:.0%}', time='{:.3f}', memory='{} MB')


@LOG_PROCESSORS.register_module()
class TrainLogProcessor(LogProcessor):
    """MMEngine's, whose training lines name the loss first and no learning rate twice.

    What goes to ``scalars.json`` and to other backends is the same. Arguments as in
    :class:`mmengine.runner.LogProcessor`.
    """

    def get_log_after_iter(self, runner: Runner, batch_idx: int, mode: str) -> tuple[dict, str]:
        """MMEngine's values; its line too, but for training."""
        tag, line = super().get_log_after_iter(runner, batch_idx, mode)
        if mode != 'train':
            return tag, line
        values = {name.removeprefix('train/'): value for name, value in tag.items()}
        header = line.partition(']  ')[0]
        shown = [f'{name}: {self._text(name, values[name])}' for name in self._order(values)]
        if 'eta' in runner.message_hub.runtime_info and 'time' in values:
            left = int(runner.message_hub.get_info('eta'))
            shown.insert(0, f'eta: {timedelta(seconds=left)}')
        return tag, f'{header}]  {"  ".join(shown)}'

    def _order(self, values: dict) -> list[str]:
        same_rate = values.get('base_lr') == values.get('lr')
        left_out = {*HIDDEN_KEYS, *(['base_lr'] if same_rate else [])}
        names = [*(name for name in FIRST_KEYS if name in values), *values]
        return [name for name in dict.fromkeys(names) if name not in left_out]

    def _text(self, name: str, value: object) -> str:
        if name in FORMATS:
            return FORMATS[name].format(value)
        return f'{value:.{self.num_digits}f}' if isinstance(value, float) else str(value)
