/**
 * mqtt: takes what MQTT clients publish, as a broker without subscribers.
 * Source: Fluent Bit 5.1.1 plugins/in_mqtt/mqtt.c, mqtt_conn.c, mqtt_prot.c.
 *
 * As there, a SUBSCRIBE gets no answer, user names and passwords are not looked at, retained messages are like all
 * others, a message that comes twice is stored twice, whatever its QoS, and one that is no JSON map is answered as if it
 * were stored.
 *
 * Differs: PUBREL is answered, without which publishers of QoS 2 wait for ever; messages are answered when they are
 * stored, or delivered, as `acknowledge` says; a session is said to be there only to clients that ask for one; clients of
 * MQTT 5 are refused with a reason, where they get an answer that they cannot read; packets of `buffer_size` above 2 MB
 * are possible; connections are closed after malformed packets of all kinds, and without a CONNECT within
 * `net.accept_timeout`. A map may not have a comma after its last pair or lack colons (codec/json_reader.ts).
 */
import { size, text } from '../../../config/options.ts'
import { defineInput } from '../../../plugin/define.ts'
import { MessageEvents } from './message_event.ts'
import { MqttSession } from './session.ts'

export const mqtt = defineInput({
  name: 'mqtt',
  summary: 'Messages that MQTT clients publish',
  upstream: 'plugins/in_mqtt/mqtt.c',
  network: 'server',
  receipts: 'sender',
  options: {
    payload_key: text({ doc: 'Key of the payload; without it its pairs stand beside the topic' }),
    buffer_size: size({ default: '2048', doc: 'Longest packet' })
  },
  losses: ({ buffer_size: bytes }) => [
    {
      when: 'running',
      key: 'buffer_size',
      message: `messages that need more than ${bytes} bytes with their topic are refused`,
      change: 'a larger buffer_size'
    }
  ],
  create(values, context) {
    const { payload_key: payloadKey, buffer_size: packetBytesMax } = values
    const host = { context, events: new MessageEvents(payloadKey), packetBytesMax }
    const listener = context.net.listener(
      { port: 1883 },
      connection => new MqttSession(connection, host)
    )
    return {
      start: () => listener.start(),
      pause: () => listener.pause(),
      resume: () => listener.resume(),
      stop: () => listener.stop()
    }
  }
})
